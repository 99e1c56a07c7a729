"""What people are shown first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_kit import synthetic

from stack.pipelines.labels import Outcomes, Votes, aggregate
from stack.pipelines.labels.active import Measure, disagreement, review_order, uncertainty

MEASURES: tuple[Measure, ...] = ("margin", "entropy", "least_confident")


def believing(*rows: list[float]) -> Outcomes:
    belief = np.array(rows)
    return Outcomes(np.nan_to_num(belief).argmax(axis=1).astype(np.int16), belief, np.arange(len(rows)), tuple("abcd"[: belief.shape[1]]))


def test_the_measures_are_those_worked_out_by_hand() -> None:
    outcomes = believing([0.5, 0.3, 0.2], [0.5, 0.5, 0.0])
    assert uncertainty(outcomes, "margin").tolist() == [0.8, 1.0]
    entropy = -(0.5 * np.log(0.5) + 0.3 * np.log(0.3) + 0.2 * np.log(0.2))
    assert uncertainty(outcomes, "entropy") == pytest.approx([entropy / np.log(3), np.log(2) / np.log(3)])
    assert uncertainty(outcomes, "least_confident") == pytest.approx([0.75, 0.75])


@pytest.mark.parametrize("measure", MEASURES)
def test_certain_is_0_and_unknown_or_even_is_1(measure: Measure) -> None:
    scores = uncertainty(believing([1.0, 0, 0], [1 / 3] * 3, [np.nan] * 3), measure)
    assert scores.tolist() == [0.0, 1.0, 1.0]
    assert uncertainty(believing([1.0]), measure).tolist() == [0.0]


def test_disagreement_is_the_entropy_of_the_votes_given() -> None:
    rows = [
        ("a", "a", "a", "a"),
        ("a", "a", "b", "b"),
        ("a", "b", "c", "c"),
        ("a", None, None, None),
        ("a", "b", None, None),
        (None,) * 4,
        ("a", "a", "a", "b"),
    ]
    votes = Votes.from_columns({f"w{place}": list(column) for place, column in enumerate(zip(*rows, strict=True))}, ("a", "b", "c"))
    largest = -(0.5 * np.log(0.5) + 2 * 0.25 * np.log(0.25))
    assert disagreement(votes) == pytest.approx(
        [0, np.log(2) / largest, 1, 0, 1, 0, -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / largest],
    )


@pytest.mark.parametrize("measure", MEASURES)
def test_reviewing_what_is_uncertain_finds_more_mistakes_than_chance(measure: Measure) -> None:
    votes, truth = synthetic(0)
    outcomes = aggregate(votes, "dawid_skene")
    wrong = outcomes.codes != truth
    ids = [f"r{row:05}" for row in range(len(truth))]
    for scores in (uncertainty(outcomes, measure), disagreement(votes)):
        first = review_order(scores, ids)[:500]
        assert wrong[first].mean() > 2 * wrong.mean()
    # Measured: 85 of 100 mistakes are in the first tenth.
    assert wrong[review_order(uncertainty(outcomes, measure), ids)[:500]].sum() > 0.8 * wrong.sum()


@given(st.lists(st.sampled_from([0.0, 0.1, 0.1 + 1e-13, 0.5, 1.0]), max_size=30), st.randoms(use_true_random=False))
def test_the_order_is_by_score_then_id_whatever_order_records_came_in(scores: list[float], shuffler) -> None:
    ids = [f"r{row}" for row in range(len(scores))]
    rows = list(zip(scores, ids, strict=True))
    shuffler.shuffle(rows)
    shown = [rows[place][1] for place in review_order(np.array([score for score, _ in rows]), [name for _, name in rows])]
    assert shown == sorted(ids, key=lambda name: (-round(scores[int(name[1:])], 9), name))
