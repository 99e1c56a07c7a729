"""A label from the nearest labelled examples (pure)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stack.pipelines.errors import PipelineError
from stack.pipelines.labels.votes import Floats, Indices

STEPS = 32_767
"""Vectors are scaled to whole numbers of 15 bits, which float64 adds up exactly for up to 8 million dimensions, in any order: the same
bytes on any machine, and however the queries are cut into shards. A cosine moves by less than 0.0001."""

CELLS = 2_000_000
"""Similarities held at a time."""


def vote_by_neighbours(
    queries: NDArray[np.number],
    examples: NDArray[np.number],
    labels: Sequence[str],
    k: int,
    min_similarity: float,
    *,
    own: Sequence[int | None] | None = None,
) -> list[tuple[str | None, float]]:
    """Per query the label that most of its `k` nearest examples have, and their share; (None, 0.0) when none is near enough.

    `queries` (n x d) and `examples` (m x d) of any length but zero (a vector of zeros is near nothing), `labels` (m). An example counts from
    cosine `min_similarity` up; of equally near ones the first counts. A tie of labels goes to the one whose nearest example is nearest.
    `own` (n): the position of the query among the examples, which then does not vote for itself; None if it is not one.
    PipelineError for shapes that do not fit, k below 1 and numbers that are not finite.
    """
    _require_fit(queries, examples, labels, k, min_similarity)
    if not len(examples):
        return [(None, 0.0)] * len(queries)
    theirs, their_squares = _whole(examples)
    names = sorted(set(labels))
    code_of = {name: code for code, name in enumerate(names)}
    codes = np.array([code_of[label] for label in labels], np.intp)
    found: list[tuple[str | None, float]] = []
    block = max(1, CELLS // len(examples))
    for start in range(0, len(queries), block):
        mine, squares = _whole(queries[start : start + block])
        # The root of the product, so that a vector's cosine with itself is exactly 1.
        scale = np.sqrt(np.outer(squares, their_squares))
        near = np.divide(mine @ theirs.T, scale, out=np.full(scale.shape, -np.inf), where=scale > 0)
        if own is not None:
            for row, place in enumerate(own[start : start + block]):
                if place is not None:
                    near[row, place] = -np.inf
        near[near < min_similarity] = -np.inf
        found += [_vote(row[places], codes[places], names) for row, places in zip(near, _nearest(near, k), strict=True)]
    return found


def _nearest(near: Floats, k: int) -> Indices:
    """rows x k: places of the largest values, largest first, the first of equals first."""
    k = min(k, near.shape[1])
    if k == near.shape[1]:
        return np.argsort(-near, axis=1, kind="stable")
    bar = -np.partition(-near, k - 1, axis=1)[:, k - 1 : k]
    places = np.empty((len(near), k), np.intp)
    for row in range(len(near)):
        # Few reach the bar, in order of their place; a stable sort keeps that order among equals.
        reach = np.flatnonzero(near[row] >= bar[row])
        places[row] = reach[np.argsort(-near[row, reach], kind="stable")[:k]]
    return places


def _vote(near: Floats, codes: Indices, names: Sequence[str]) -> tuple[str | None, float]:
    """From the nearest examples, nearest first."""
    counted = codes[np.isfinite(near)]
    if not len(counted):
        return None, 0.0
    tally = np.bincount(counted)
    best = next(code for code in counted if tally[code] == tally.max())
    return names[best], int(tally[best]) / len(counted)


def _whole(vectors: NDArray[np.number]) -> tuple[Floats, Floats]:
    """Whole numbers in float64, each row's largest STEPS, and the squares of the rows' lengths."""
    exact = vectors.astype(np.float64)
    largest = np.abs(exact).max(axis=1, keepdims=True, initial=0)
    scaled: Floats = np.rint(exact / np.where(largest > 0, largest, 1) * STEPS)
    return scaled, (scaled**2).sum(axis=1)


def _require_fit(queries: NDArray[np.number], examples: NDArray[np.number], labels: Sequence[str], k: int, min_similarity: float) -> None:
    if k < 1:
        raise PipelineError(f"field `k`: must be 1 or more, got {k}")
    if not -1 <= min_similarity <= 1:
        raise PipelineError(f"field `min_similarity`: a cosine is from -1 to 1, got {min_similarity:g}")
    if len(labels) != len(examples):
        raise PipelineError(f"field `examples`: {len(examples)} vectors but {len(labels)} labels: give one label each")
    if len(queries) and len(examples) and queries.shape[1] != examples.shape[1]:
        raise PipelineError(f"field `examples`: vectors of {examples.shape[1]} numbers, queries of {queries.shape[1]}: use one embedder for both")
    if not (np.isfinite(queries).all() and np.isfinite(examples).all()):
        raise PipelineError("field `examples`: an embedding has a number that is not finite: embed the texts again")
