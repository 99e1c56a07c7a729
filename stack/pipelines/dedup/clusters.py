"""From signatures to clusters of near-duplicates, band after band (pure)."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stack.pipelines.dedup.columns import first_of_equal
from stack.pipelines.dedup.minhash import Signatures, band_key, band_rows, similarity

ROUNDS = 16
"""Leaders tried per bucket: those that are not like the first are tried with the next. It bounds the work where many records share a band by chance."""
PAIRS = 1 << 16


class UnionFind:
    """Sets of positions; a set's root is its first position. Memory: 8 bytes per position."""

    def __init__(self, count: int) -> None:
        self.parent = np.arange(count)

    def join(self, left: int, right: int) -> None:
        left, right = self.root(left), self.root(right)
        self.parent[max(left, right)] = min(left, right)

    def root(self, at: int) -> int:
        while (up := int(self.parent[at])) != at:
            self.parent[at] = self.parent[up]
            at = up
        return at

    def roots(self) -> NDArray[np.int64]:
        while not np.array_equal(self.parent, up := self.parent[self.parent]):
            self.parent = up
        return self.parent


def join_near(sets: UnionFind, matrix: Signatures, threshold: float) -> None:
    """Join the records whose estimated similarity reaches the threshold, found through the bands. Depends on their order alone."""
    rows = band_rows(threshold, matrix.shape[1])
    for band in range(matrix.shape[1] // rows):
        for leaders, others in _candidates(sets, matrix, band_key(matrix, band, rows), threshold):
            for left, right in zip(leaders.tolist(), others.tolist(), strict=True):
                sets.join(left, right)


def _candidates(sets: UnionFind, matrix: Signatures, keys: NDArray[np.uint64], threshold: float) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Checked pairs of one band, round after round; pairs already in one set are not checked."""
    left_over = np.arange(len(keys))
    for _ in range(ROUNDS):
        leaders = left_over[first_of_equal(keys[left_over])]
        roots = sets.roots()
        open_pairs = roots[leaders] != roots[left_over]
        leaders, others = leaders[open_pairs], left_over[open_pairs]
        if not len(others):
            return
        alike = near_pairs(matrix, leaders, matrix, others, threshold)
        yield leaders[alike], others[alike]
        left_over = others[~alike]


def near_pairs(left: Signatures, left_rows: NDArray[np.int64], right: Signatures, right_rows: NDArray[np.int64], threshold: float) -> NDArray[np.bool_]:
    """For each pair of positions whether its estimated similarity reaches the threshold."""
    found = np.empty(len(left_rows), bool)
    for start in range(0, len(found), PAIRS):
        part = slice(start, start + PAIRS)
        found[part] = similarity(left[left_rows[part]], right[right_rows[part]]) >= threshold
    return found
