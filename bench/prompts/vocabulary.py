"""Text of an exact number of tokens, made of words that are one token each (logic).

n words are n tokens if each is one token, with the space before it, and no token reaches over the end of a word. The first is found by
encoding them, the second by reading the vocabulary: a word that some token could join to the next one is left out. The ready phrases
are then encoded as well, in the random order of their words, and what comes out as anything but one token a word is left out too.
"""

import hashlib
import re
import sys
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.prompts.tokenizer import FIELD
from bench.seeds import stream

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_PLAIN = re.compile(r"[a-z]{3,12}")
"""ASCII letters stand in JSON as they are, and neither a normalizer nor a chat template changes them."""
MOST_WORDS = 2048
FEWEST_WORDS = 64
MOST_STARTERS = 256
FEWEST_STARTERS = 16
_SPACES = "Ġ▁ "
"""How tokens spell a space: byte-level BPE, SentencePiece, and as it is."""
_OVER_THE_END = re.compile(f"([{_SPACES}]?)(?<![a-z])([a-z]+)(?=[{_SPACES}][a-z])")
PHRASE = 8
PHRASES = 1024
LEAD = 8
"""Words drawn one by one at the start of a text: they alone tell 2^46 texts and more apart within a cache's first block of 16 tokens."""
_DRAWS = 1 << 16


class Vocabulary:
    """Words of one token each; `starters` are one token also where no space comes before them, as at the start of a message."""

    def __init__(self, words: Sequence[str], starters: Sequence[str]) -> None:
        self.words = tuple(words)
        self.starters = tuple(starters)

    @classmethod
    def of(cls, tokenizer: "Tokenizer") -> "Vocabulary":
        """The tokenizer's most frequent plain words; BenchError when too few of them are a token each."""
        vocabulary = tokenizer.get_vocab()
        tokens = sorted(vocabulary, key=vocabulary.__getitem__)
        spaced = any(token[0] in _SPACES for token in tokens if token)  # else words stand in the vocabulary without one (WordPiece)
        plain = [token.lstrip(_SPACES) for token in tokens if token and (token[0] in _SPACES or not spaced)]
        words = keep_whole(tokenizer, _ending_with_a_token([word for word in dict.fromkeys(plain) if _PLAIN.fullmatch(word)], tokens)[:MOST_WORDS])
        starters = [word for word in words[:MOST_STARTERS] if len(tokenizer.encode(word, add_special_tokens=False).ids) == 1]
        return cls(*_enough(words, starters))

    def without(self, words: set[str]) -> "Vocabulary":
        return Vocabulary(*_enough([each for each in self.words if each not in words], [each for each in self.starters if each not in words]))


class Texts:
    """For each name and index an endless text that the seed gives; asked for n tokens, it is cut after its n-th word.

    After the first words it goes on in ready phrases of 8 words, so that a text of 10,000 tokens takes 0.1 ms to write.
    """

    def __init__(self, vocabulary: Vocabulary, *, seed: int, tokenizer: "Tokenizer | None" = None) -> None:
        while True:
            phrases = _phrases(vocabulary, seed)
            wrong = set() if tokenizer is None else set(phrases) - set(keep_whole(tokenizer, phrases))
            if not wrong:
                break
            vocabulary = vocabulary.without(wrong)
        self._seed = seed
        self._starters = _table([word.encode() for word in vocabulary.starters])
        self._words = _table([b" " + word.encode() for word in vocabulary.words])
        joined = [b" " + " ".join(phrases[at : at + PHRASE]).encode() for at in range(0, len(phrases), PHRASE)]
        self._phrases = _table(joined)

    def __call__(self, name: str, index: int, tokens: int) -> bytes:
        """ASCII that JSON needs not escape; begins without a space. A text of fewer tokens is the beginning of one of more."""
        if tokens <= LEAD:
            drawn = self._draw(name, index, tokens)
            return self._starters[drawn[0]] + b"".join(map(self._words.__getitem__, drawn[1:])) if tokens else b""
        whole, rest = divmod(tokens - LEAD, PHRASE)
        drawn = self._draw(name, index, LEAD + whole + (rest > 0))
        parts = [self._starters[drawn[0]], *map(self._words.__getitem__, drawn[1:LEAD]), *map(self._phrases.__getitem__, drawn[LEAD : LEAD + whole])]
        if rest:
            parts += [b" " + word for word in self._phrases[drawn[-1]].split()[:rest]]
        return b"".join(parts)

    def _draw(self, name: str, index: int, count: int) -> "array[int]":
        """16 bits each, from SHAKE-128 of seed, name and index: the first draws are the same however many are asked for."""
        drawn = array("H", hashlib.shake_128(f"stackproof:{self._seed}:{name}:{index}".encode()).digest(2 * count))
        if sys.byteorder == "big":
            drawn.byteswap()
        return drawn


def keep_whole(tokenizer: "Tokenizer", words: Sequence[str]) -> list[str]:
    """Those words that come out as one token each, all encoded in one text, in this order; a word used twice must both times."""
    anchor = "a"
    text = " ".join((anchor, *words))
    # Ends of tokens: whether the space before a word is told as part of it differs from tokenizer to tokenizer, its end does not.
    ends = [end for _, end in tokenizer.encode(text, add_special_tokens=False).offsets]
    wrong, at, place = set(), len(anchor), bisect_right(ends, len(anchor))
    for word in words:
        at += 1 + len(word)
        following = bisect_right(ends, at, place)
        if following - place != 1 or ends[place] != at:
            wrong.add(word)
        place = following
    return [word for word in words if word not in wrong]


def _ending_with_a_token(words: Sequence[str], tokens: Sequence[str]) -> list[str]:
    """Those after which every token ends: none of `tokens` holds their last letters, a space and another letter."""
    whole: set[str] = set()
    ends: set[str] = set()
    for space, letters in _OVER_THE_END.findall("\n".join(tokens)):
        (whole if space else ends).add(letters)
    return [word for word in words if word not in whole and not word.endswith(tuple(ends))]


def _enough(words: Sequence[str], starters: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    if len(words) < FEWEST_WORDS or len(starters) < FEWEST_STARTERS:
        raise BenchError(
            f"{FIELD}: only {len(words)} plain words are one token each ({FEWEST_WORDS} are needed), so prompts of an exact length cannot be made: "
            "use prompts of kind text, texts or jsonl"
        )
    return words, starters


def _phrases(vocabulary: Vocabulary, seed: int) -> list[str]:
    return stream(seed, "phrases").choices(vocabulary.words, k=PHRASE * PHRASES)


def _table(entries: Sequence[bytes]) -> list[bytes]:
    """So many references that 16 random bits pick one without arithmetic."""
    return [entries[place % len(entries)] for place in range(_DRAWS)]
