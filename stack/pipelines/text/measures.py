"""What the published quality heuristics measure in one text (pure). What is too much or too little is told in `rules`.

Words are what white space separates (the papers do not say; datatrove takes a tokenizer per language). Lines are trimmed, empty ones do
not count. A share of nothing is 0. None: the measure says nothing of such a text.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

# Full stop, exclamation and question mark, and their like in full width, Arabic and Urdu, Devanagari, Ethiopic, Armenian, Burmese, Khmer.
STOPS = ".!?\u2026\u3002\uff01\uff1f\uff61\u061f\u06d4\u0964\u0965\u1362\u1367\u1368\u0589\u104b\u17d4\u17d5"
_QUOTES = "\"'\u201d\u2019\u00bb\u300d\u300f"
END_MARKS = (*STOPS, *_QUOTES)
ELLIPSES = ("...", "\u2026")
# A bullet, its triangular, hyphen, round and square kin, and the two that plain text has.
BULLETS = tuple("\u2022\u2023\u2043\u25cf\u25cb\u25e6\u25aa\u25a0\u25a1-*")
STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
_AROUND = f"{STOPS}{_QUOTES},;:()[]\u201c\u2018"
TOP_SIZES = range(2, 5)
DUPLICATE_SIZES = range(5, 11)
SCRIPT_SAMPLE = 2000
"""Characters that are looked at to tell the script."""
UNSPACED_SHARE = 0.3
"""From this share of its characters on, a text is in a script without spaces between words, whatever names and figures stand in it."""

_LETTERED_WORD = re.compile(r"[^\W\d_]\S*")
_SENTENCE_END = re.compile(rf"[{STOPS}]+[{_QUOTES})]*(?=\s|$)|[\u3002\uff01\uff1f\uff61]+[{_QUOTES}\uff09]*")
_PARAGRAPH = re.compile(r"\n\s*\n")
# Thai, Lao, Tibetan, Burmese, Khmer, kana and Han.
_UNSPACED = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_UNPUNCTUATED = re.compile("[\u0e00-\u0eff]")


class Measures:
    """Of one text; each is computed when it is first asked for. `language`: BCP 47 tag, empty or `und` if not known."""

    def __init__(self, text: str, language: str = "") -> None:
        self.text = text
        self.language = language

    @cached_property
    def lines(self) -> list[str]:
        return [line for line in map(str.strip, self.text.split("\n")) if line]

    @cached_property
    def paragraphs(self) -> list[str]:
        return [part for part in map(str.strip, _PARAGRAPH.split(self.text)) if part] if "\n" in self.text else self.lines

    @cached_property
    def words(self) -> list[str] | None:
        """None for scripts without spaces between words."""
        return None if self._share_of(_UNSPACED) > UNSPACED_SHARE else self.text.split()

    @cached_property
    def punctuated(self) -> bool:
        """Whether sentences end in a mark: in Thai and Lao they do not."""
        return self._share_of(_UNPUNCTUATED) <= UNSPACED_SHARE

    def _share_of(self, characters: re.Pattern[str]) -> float:
        head = self.text[:SCRIPT_SAMPLE]
        return 0.0 if head.isascii() else share(len(characters.findall(head)), len(head) - head.count(" "))

    def word_count(self) -> int | None:
        return None if self.words is None else len(self.words)

    def mean_word_length(self) -> float | None:
        return None if not self.words else sum(map(len, self.words)) / len(self.words)

    def per_word(self, *symbols: str) -> float | None:
        return None if not self.words else sum(map(self.text.count, symbols)) / len(self.words)

    def lettered_words(self) -> float | None:
        """Share of words with a letter in them."""
        return None if not self.words else len(_LETTERED_WORD.findall(self.text)) / len(self.words)

    def stop_words(self) -> int | None:
        """How many different ones of Gopher's eight; None where the language is known and not English."""
        known = self.language and self.language != "und"
        if known and self.language.lower().split("-")[0] != "en":
            return None
        return None if self.words is None else len(STOP_WORDS & {word.strip(_AROUND) for word in set(self.text.lower().split())})

    def lines_starting(self, marks: tuple[str, ...]) -> float:
        return share(sum(line.startswith(marks) for line in self.lines), len(self.lines))

    def lines_ending(self, marks: tuple[str, ...]) -> float:
        return share(sum(line.endswith(marks) for line in self.lines), len(self.lines))

    def lines_ending_sentences(self) -> float | None:
        return self.lines_ending(END_MARKS) if self.punctuated else None

    def lines_shorter(self, characters: int) -> float:
        return share(sum(len(line) < characters for line in self.lines), len(self.lines))

    def new_lines_per_word(self) -> float | None:
        return None if not self.words else self.text.count("\n") / len(self.words)

    def repeated_lines(self) -> float:
        return repeats(self.lines)[0]

    def repeated_line_characters(self) -> float:
        return repeats(self.lines)[1]

    def repeated_paragraphs(self) -> float:
        return repeats(self.paragraphs)[0]

    def repeated_paragraph_characters(self) -> float:
        return repeats(self.paragraphs)[1]

    @cached_property
    def n_grams(self) -> dict[int, float]:
        return repeated_n_grams(self.words or [])

    def n_gram(self, size: int) -> float | None:
        return None if self.words is None else self.n_grams[size]


def share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def sentences(line: str) -> int:
    """At least 1 for a line with anything in it. Abbreviations count as ends: no table of them fits all languages."""
    ends = [match.end() for match in _SENTENCE_END.finditer(line)]
    return len(ends) + bool(line[ends[-1] if ends else 0 :].strip())


def repeats(parts: Sequence[str]) -> tuple[float, float]:
    """Shares of parts, and of their characters, that are second or later ones of their kind."""
    if len(parts) < 2:
        return 0.0, 0.0
    first = set(parts)
    kept, total = sum(map(len, first)), sum(map(len, parts))
    return (len(parts) - len(first)) / len(parts), (total - kept) / total


def repeated_n_grams(words: Sequence[str]) -> dict[int, float]:
    """By size, a share of the characters of all words.

    2 to 4: in the most frequent n-gram, if it occurs twice or more (of equally frequent ones the longest), at most 1. 5 to 10: in
    n-grams that have occurred before; a word in several of them counts once.
    """
    found = dict.fromkeys((*TOP_SIZES, *DUPLICATE_SIZES), 0.0)
    total = sum(map(len, words))
    counts = Counter(words)
    # An n-gram occurs twice only if both (n-1)-grams in it do: from size to size fewer places need a look.
    places = [at for at, word in enumerate(words) if counts[word] > 1] if len(counts) < len(words) else []
    for size in found:
        before = set(places)
        grams = {at: tuple(words[at : at + size]) for at in places if at + 1 in before and at + size <= len(words)}
        often = Counter(grams.values())
        places = [at for at, gram in grams.items() if often[gram] > 1]
        if not places:
            break
        if size in TOP_SIZES:
            most = max(often.values())
            found[size] = min(1.0, max(most * sum(map(len, gram)) for gram, count in often.items() if count == most) / total)
        else:
            found[size] = sum(len(words[at]) for at in _covered(places, grams, size)) / total
    return found


def _covered(places: Sequence[int], grams: dict[int, tuple[str, ...]], size: int) -> set[int]:
    """Positions of the words in second and later occurrences."""
    seen: set[tuple[str, ...]] = set()
    covered: set[int] = set()
    for at in places:
        if grams[at] in seen:
            covered.update(range(at, at + size))
        seen.add(grams[at])
    return covered
