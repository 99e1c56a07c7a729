"""Votes of the nearest labelled examples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.pipelines.dedup.embedders import hashed_counts, tf_idf
from stack.pipelines.errors import PipelineError
from stack.pipelines.labels import neighbours
from stack.pipelines.labels.neighbours import vote_by_neighbours

AXES = np.eye(3, dtype=np.float32)


def plainly(queries: np.ndarray, examples: np.ndarray, labels: list[str], k: int, least: float) -> list[tuple[str | None, float]]:
    """Query by query, in words of the definition."""
    found = []
    for query in queries:
        cosines = [float(query @ each / (np.linalg.norm(query) * np.linalg.norm(each))) for each in examples]
        nearest = [place for place in sorted(range(len(labels)), key=lambda place: (-round(cosines[place], 12), place)) if cosines[place] >= least][:k]
        near = [labels[place] for place in nearest]
        best = max(near, key=lambda label: (near.count(label), -near.index(label)), default=None)
        found.append((best, near.count(best) / len(near) if near else 0.0))
    return found


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 12), st.sampled_from([-1.0, 0.2, 0.6]))
def test_votes_are_those_of_the_definition(seed: int, k: int, least: float) -> None:
    draw = np.random.default_rng(seed)
    # Few whole numbers: many exactly equal cosines, none in danger of rounding across the bar.
    queries, examples = (draw.integers(1, 4, (rows, 3)).astype(np.float32) * [1, -1, 1] for rows in (6, 9))
    labels = draw.choice(["a", "b", "c"], 9).tolist()
    cosines = (queries @ examples.T) / np.outer(np.linalg.norm(queries, axis=1), np.linalg.norm(examples, axis=1))
    if np.abs(cosines - least).min() > 1e-3:
        whole = neighbours._whole(queries)[0], neighbours._whole(examples)[0]
        assert vote_by_neighbours(queries, examples, labels, k, least) == plainly(*whole, labels, k, least)


def test_most_of_the_nearest_decide_and_a_tie_goes_to_the_nearest() -> None:
    examples = np.array([[1, 0, 0], [1, 0.1, 0], [1, 0.2, 0], [0, 0, 1]], np.float32)
    labels = ["a", "b", "b", "c"]
    assert vote_by_neighbours(AXES[:1], examples, labels, 3, 0.5) == [("b", 2 / 3)]
    assert vote_by_neighbours(AXES[:1], examples, labels, 2, 0.5) == [("a", 0.5)]
    assert vote_by_neighbours(AXES[:1], examples, labels, 9, 0.5) == [("b", 2 / 3)]


def test_of_equally_near_examples_the_first_count() -> None:
    examples = np.repeat(AXES[:1], 5, axis=0) * np.array([[1], [7], [0.1], [3], [2]], np.float32)
    assert vote_by_neighbours(AXES[:1], examples, ["a", "b", "b", "a", "a"], 3, 1.0) == [("b", 2 / 3)]


def test_a_vector_is_exactly_like_itself() -> None:
    vectors = np.random.default_rng(1).normal(size=(300, 24)).astype(np.float32)
    labels = [f"l{row}" for row in range(300)]
    assert vote_by_neighbours(vectors, vectors, labels, 1, 1.0) == [(label, 1.0) for label in labels]


def test_what_is_near_nothing_gets_no_label() -> None:
    assert vote_by_neighbours(AXES, AXES[:1], ["a"], 1, 0.5) == [("a", 1.0), (None, 0.0), (None, 0.0)]
    assert vote_by_neighbours(0 * AXES[:1], AXES, ["a", "b", "c"], 3, -1.0) == [(None, 0.0)]
    assert vote_by_neighbours(AXES[:2], np.zeros((0, 0), np.float32), [], 3, 0.5) == [(None, 0.0)] * 2
    assert vote_by_neighbours(AXES[:0], AXES, ["a", "b", "c"], 3, 0.5) == []


def test_an_example_does_not_vote_for_itself() -> None:
    examples = np.array([[1, 0, 0], [1, 0.1, 0], [0, 1, 0]], np.float32)
    assert vote_by_neighbours(examples, examples, ["a", "b", "c"], 1, 0.5, own=[0, 1, 2]) == [("b", 1.0), ("a", 1.0), (None, 0.0)]
    assert vote_by_neighbours(examples[:2], examples, ["a", "b", "c"], 1, 0.5, own=[None, 1]) == [("a", 1.0), ("a", 1.0)]


def test_how_queries_are_cut_changes_no_vote(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    queries, examples = draw.normal(size=(101, 64)).astype(np.float32), draw.normal(size=(50, 64)).astype(np.float32)
    labels = draw.choice(["a", "b"], 50).tolist()
    whole = vote_by_neighbours(queries, examples, labels, 5, 0.1)
    assert whole == [vote for start in range(0, 101, 7) for vote in vote_by_neighbours(queries[start : start + 7], examples, labels, 5, 0.1)]
    monkeypatch.setattr(neighbours, "CELLS", 150)
    assert vote_by_neighbours(queries, examples, labels, 5, 0.1) == whole
    assert len({label for label, _ in whole}) > 1


def test_spelling_tells_bills_from_praise_with_our_own_embedder() -> None:
    examples = ["please pay the invoice by friday", "the invoice is not paid yet", "what a wonderful meal", "wonderful food, lovely meal"]
    queries = ["invoice paid on friday", "a lovely and wonderful evening meal"]
    vectors = tf_idf(hashed_counts(examples + queries))
    votes = vote_by_neighbours(vectors[4:], vectors[:4], ["bill", "bill", "praise", "praise"], 2, 0.05)
    assert votes == [("bill", 1.0), ("praise", 1.0)]


def test_shapes_and_numbers_that_do_not_fit_are_named() -> None:
    for change, said in (
        ({"k": 0}, "field `k`: must be 1 or more, got 0"),
        ({"min_similarity": 1.5}, "field `min_similarity`: a cosine is from -1 to 1, got 1.5"),
        ({"labels": ["a"]}, "3 vectors but 1 labels"),
        ({"queries": AXES[:, :2]}, "vectors of 3 numbers, queries of 2"),
        ({"queries": AXES * np.float32("nan")}, "not finite"),
    ):
        with pytest.raises(PipelineError, match=said):
            vote_by_neighbours(**{"queries": AXES, "examples": AXES, "labels": ["a", "b", "c"], "k": 1, "min_similarity": 0.5, **change})
