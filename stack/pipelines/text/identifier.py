"""Which language a text is in, for many texts at once: py3langid's model, read as arrays.

py3langid 0.4.0 takes a text at a time. Here a batch walks its automaton together, one byte of every text per step. The score of a
language is the library's: log prior + sum over features of log(1 + count) * weight, softmax at temperature sqrt(bytes). Each text is
scored by itself, so that a result never depends on what else is in the batch.
"""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stack.pipelines.text.tags import label_of, tag_of

CHUNK = 512
"""Texts that walk together: their states stay in the cache."""
DIGITS = 4
"""Decimals of a confidence. More would be the rounding of a matrix product, which differs between processors."""

Guess = tuple[str, float]


@dataclass(frozen=True)
class Automaton:
    """`follow[row[state] * 256 + byte]` is the next state; `feature[state]` what was seen on reaching it, or -1."""

    follow: NDArray[np.uint32]
    row: NDArray[np.intp]
    feature: NDArray[np.int32]


class Identifier:
    """`tags` are what it answers: those asked for as they were written, or all that the model has."""

    def __init__(self, languages: Sequence[str] = ()) -> None:
        automaton, weights, prior, labels = _model()
        names = {label_of(tag): tag for tag in languages}
        columns = [column for column, label in enumerate(labels) if not names or label in names]
        self._automaton = automaton
        self._weights = np.ascontiguousarray(weights[:, columns], np.float32)
        self._prior = np.asarray(prior[columns], np.float32)
        self.tags = [names.get(labels[column]) or tag_of(labels[column]) for column in columns]
        # A language in two scripts has two columns; its probability is their sum, in the first one.
        first: dict[str, int] = {}
        self._doubles = [(first[tag], column) for column, tag in enumerate(self.tags) if first.setdefault(tag, column) != column]

    def classify(self, texts: Sequence[str]) -> list[Guess | None]:
        """Tag and confidence (0 to 1, `DIGITS` decimals) of each text; None where nothing in it tells a language."""
        data = [_encoded(text) for text in texts]
        order = sorted(range(len(data)), key=lambda at: -len(data[at]))  # texts of one length walk together
        guesses: list[Guess | None] = [None] * len(data)
        for start in range(0, len(order), CHUNK):
            part = order[start : start + CHUNK]
            for at, guess in zip(part, self._chunk([data[at] for at in part]), strict=True):
                guesses[at] = guess
        return guesses

    def _chunk(self, data: list[bytes]) -> list[Guess | None]:
        owners, features, counts = feature_counts(self._automaton, data)
        ends = np.cumsum(np.bincount(owners, minlength=len(data))).tolist()
        strength, table = np.log1p(counts, dtype=np.float32), self._weights[features]
        scores = np.zeros((len(data), len(self.tags)), np.float32)
        start = 0
        for row, end in enumerate(ends):
            if end > start:
                np.dot(strength[start:end], table[start:end], out=scores[row])
            start = end
        heat = np.array([1.0 / math.sqrt(len(text) or 1) for text in data], np.float32)
        scores = (scores + self._prior) * heat[:, None]
        np.exp(scores - scores.max(axis=1, keepdims=True), out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        for first, double in self._doubles:
            scores[:, first] += scores[:, double]
            scores[:, double] = 0
        best = scores.argmax(axis=1)
        found = np.bincount(owners, minlength=len(data)) > 0
        sure = scores[np.arange(len(data)), best].tolist()
        return [(self.tags[column], round(share, DIGITS)) if any_ else None for column, share, any_ in zip(best.tolist(), sure, found.tolist(), strict=True)]


def feature_counts(automaton: Automaton, data: Sequence[bytes]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Parallel arrays (text, feature, how often), by text and then feature. `data`: longest first."""
    lengths = np.array([len(text) for text in data])
    longest = int(lengths[0]) if len(data) else 0
    if not longest:
        return np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0, np.float32)
    letters = np.frombuffer(b"".join(text.ljust(longest, b"\0") for text in data), np.uint8).reshape(len(data), longest).T.astype(np.intp)
    state = np.zeros(len(data), np.intp)
    seen = np.full((longest, len(data)), -1, np.int32)
    going = np.searchsorted(-lengths, -np.arange(longest), side="left")  # how many texts are longer than the step
    for step, count in enumerate(going.tolist()):
        state = automaton.follow[automaton.row[state[:count]] + letters[step, :count]].astype(np.intp)
        seen[step, :count] = automaton.feature[state]
    steps, texts = np.nonzero(seen >= 0)
    keys = texts.astype(np.int64) << 32 | seen[steps, texts]
    distinct, counts = np.unique(keys, return_counts=True)
    return distinct >> 32, distinct & 0xFFFFFFFF, counts.astype(np.float32)


def _encoded(text: str) -> bytes:
    """As py3langid was trained: a text all in capitals in small letters, NFC, UTF-8."""
    if text.isupper():
        text = text.lower()
    return unicodedata.normalize("NFC", text).encode(errors="surrogatepass")


@lru_cache(maxsize=8)
def identifier(languages: tuple[str, ...]) -> Identifier:
    """One per list of languages and process; 0.4 MB per language."""
    return Identifier(languages)


@lru_cache(maxsize=1)
def _model() -> tuple[Automaton, NDArray[np.float16], NDArray[np.float32], list[str]]:
    """Automaton, weights (features by labels), log priors and labels. Reading it takes half a second, and holding it 70 MB."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    rows = np.asarray(model.tk_row, np.intp) << 8
    automaton = Automaton(np.asarray(model.tk_nextmove, np.uint32), rows, np.asarray(model.tk_output, np.int32))
    return automaton, model.nb_ptc, model.nb_pc, model.nb_classes
