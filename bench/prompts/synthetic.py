"""Prompts of an exact number of tokens, with prefixes shared on purpose (logic)."""

from functools import lru_cache
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.prompts.chat import Frame
from bench.prompts.draw import draws, mean_length, share
from bench.prompts.tokenizer import count_tokens, need_tokenizer
from bench.prompts.vocabulary import Texts, Vocabulary
from bench.seeds import derive
from bench.workload.models import Workload
from bench.workload.prompts import SharedPrefix, Synthetic

if TYPE_CHECKING:
    from tokenizers import Tokenizer

KEPT_BYTES = 32 << 20
"""Prefixes are kept after their first use, up to so many bytes; they can be written again."""
BYTES_PER_TOKEN = 8
CHECKED = 4
"""So many prompts of a run are encoded again before it begins."""


class SyntheticBodies:
    """`input_tokens` from the stream `input`, `max_tokens` from `output`; a prompt that shares no prefix has one of its own, as long."""

    def __init__(self, workload: Workload, prompts: Synthetic, *, seed: int) -> None:
        tokenizer = need_tokenizer(prompts.tokenizer, model=workload.model)
        self._frame = Frame(workload)
        self._texts = seeded_texts(tokenizer, salted=prompts.salt, seed=seed)
        self._input = draws(prompts.input_tokens, seed=seed, name="input")
        self._output = draws(prompts.max_tokens, seed=seed, name="output")
        self._prefix, self._seed = prompts.prefix, seed
        self.shared_share = _shared_share(prompts)
        if self._prefix is not None:
            fitting = KEPT_BYTES // (BYTES_PER_TOKEN * self._prefix.tokens)
            self._shared = lru_cache(maxsize=max(1, min(self._prefix.pool, fitting)))(self._write_shared)
        for index in range(CHECKED):
            extra = self._prefix.tokens if self._prefix is not None else 0
            check_length(tokenizer, self._words(index), self._input(index) + extra)

    def __call__(self, index: int) -> bytes:
        return self._frame.asking(self._words(index), self._output(index))

    def _words(self, index: int) -> bytes:
        own = self._texts("prompts", index, self._input(index))
        if self._prefix is None:
            return own
        return b"%b %b" % (self._opening(self._prefix, index), own)

    def _opening(self, prefix: SharedPrefix, index: int) -> bytes:
        if share(derive(self._seed, "prefix-hit", index)) < prefix.hit_ratio:
            return self._shared(derive(self._seed, "prefix", index) % prefix.pool)
        return self._texts("own-prefix", index, prefix.tokens)

    def _write_shared(self, member: int) -> bytes:
        assert self._prefix is not None
        return self._texts("shared-prefix", member, self._prefix.tokens)


def seeded_texts(tokenizer: "Tokenizer", *, salted: bool, seed: int) -> Texts:
    """Words that follow from the seed; without salt, the same ones whatever the seed, so that a repeated run meets a warm cache."""
    return Texts(Vocabulary.of(tokenizer), seed=seed if salted else 0, tokenizer=tokenizer)


def check_length(tokenizer: "Tokenizer", words: bytes, tokens: int) -> None:
    """BenchError when a finished prompt is not as long as it should be."""
    found = count_tokens(tokenizer, words.decode())
    if found != tokens:
        raise BenchError(
            f"field `prompts.tokenizer`: it makes {found} tokens of a prompt made of {tokens} single-token words, so exact lengths are not possible with it: "
            "use prompts of kind text, texts or jsonl"
        )


def _shared_share(prompts: Synthetic) -> float:
    if not prompts.salt:
        return 1.0
    if prompts.prefix is None:
        return 0.0
    return prompts.prefix.hit_ratio * prompts.prefix.tokens / (prompts.prefix.tokens + mean_length(prompts.input_tokens))
