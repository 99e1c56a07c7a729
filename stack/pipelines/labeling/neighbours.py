"""The nearest solved examples by cosine (logic; the endpoint's embeddings come through an edge of deduplication)."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stack.pipelines.dedup.embedders import hashed_counts, whole_numbers
from stack.pipelines.labeling.spec import Neighbours

DIGITS = 9
"""Similarities are compared to so many decimals, so that the order of two additions never decides a vote."""


def nearest_votes(labeler: Neighbours, texts: Sequence[str], folder: Path) -> list[str | None]:
    """One label per text, from the examples alone: which other texts are in the shard does not matter."""
    if not texts:
        return []
    examples = [example.text for example in labeler.examples]
    if labeler.embedder == "hashing":
        counts = hashed_counts(examples)
        idf = inverse_frequency(counts)
        vectors, solved = weighted(hashed_counts(texts), idf), weighted(counts, idf)
    else:
        both = labeler.ask_endpoint([*examples, *texts], folder)
        solved, vectors = both[: len(examples)], both[len(examples) :]
    labels = [example.label for example in labeler.examples]
    return [elect(row, labels, k=labeler.k, bar=labeler.min_similarity, otherwise=labeler.otherwise) for row in cosines(vectors, solved)]


def inverse_frequency(counts: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Per bucket 1 + log((1 + N) / (1 + df)), smoothed as if one more example held every bucket; of the examples, never of the records."""
    df = np.count_nonzero(counts, axis=0).astype(np.float64)
    idf: NDArray[np.float64] = 1 + np.log((1 + len(counts)) / (1 + df))
    return idf


def weighted(counts: NDArray[np.uint8], idf: NDArray[np.float64]) -> NDArray[np.int8]:
    """(1 + log tf) * idf, each row scaled to whole numbers in -127..127."""
    part = counts.astype(np.float64)
    return whole_numbers(np.where(part > 0, 1 + np.log(np.maximum(part, 1)), 0) * idf)


def cosines(left: NDArray[np.int8], right: NDArray[np.int8]) -> NDArray[np.float64]:
    """[left, right]; 0 where a vector is all zeros. Dot products of whole numbers in float64 are exact in any order."""
    mine, other = left.astype(np.float64), right.astype(np.float64)
    norms = np.sqrt(np.outer((mine * mine).sum(axis=1), (other * other).sum(axis=1)))
    found: NDArray[np.float64] = np.divide(mine @ other.T, norms, out=np.zeros_like(norms), where=norms > 0)
    return found


def elect(similarities: Sequence[float] | NDArray[np.float64], labels: Sequence[str], *, k: int, bar: float, otherwise: str | None) -> str | None:
    """The label with the largest sum of similarity among the k nearest that reach the bar; `otherwise` on a tie or when none does.

    Of examples equally near, the earlier ones are taken.
    """
    rounded = [round(float(each), DIGITS) for each in similarities]
    nearest = sorted(range(len(labels)), key=lambda place: (-rounded[place], place))[:k]
    sums: defaultdict[str, float] = defaultdict(float)
    for place in nearest:
        if rounded[place] >= bar and rounded[place] > 0:
            sums[labels[place]] += rounded[place]
    ranked = sorted((round(total, DIGITS), label) for label, total in sums.items())[::-1]
    if not ranked or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]):
        return otherwise
    return ranked[0][1]
