"""Confident learning: by hand, on planted errors, and where nothing is wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_kit import synthetic

from stack.pipelines.labels import ABSTAINS, aggregate
from stack.pipelines.labels.errors import label_errors


def test_thresholds_joint_and_suspects_are_those_worked_out_by_hand() -> None:
    given_labels = np.array([0, 0, 0, 1, 1], np.int16)
    beliefs = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8], [0.45, 0.55]])
    found = label_errors(given_labels, beliefs)
    np.testing.assert_allclose(found.thresholds, [0.6, 0.675])
    # The last reaches neither threshold: it is counted nowhere, though its label is the more likely.
    assert found.joint.tolist() == [[2, 1], [0, 1]]
    assert found.suspect.tolist() == [False, False, True, False, False]
    assert found.suggested.tolist() == [ABSTAINS, ABSTAINS, 1, ABSTAINS, ABSTAINS]
    assert found.quality.tolist() == [0.9, 0.6, 0.3, 0.8, 0.55]


def test_of_several_labels_above_their_thresholds_the_likelier_counts() -> None:
    # Thresholds 0.4 and 0.2: both are reached by every record of the first two.
    given_labels = np.array([0, 0, 1, 1], np.int16)
    beliefs = np.array([[0.5, 0.4, 0.1], [0.3, 0.6, 0.1], [0.6, 0.3, 0.1], [0.8, 0.1, 0.1]])
    found = label_errors(given_labels, beliefs)
    assert found.suggested.tolist() == [ABSTAINS, 1, 0, 0]
    assert np.isnan(found.thresholds[2])
    assert found.worst_first().tolist() == [3, 1, 2]


def test_a_label_that_was_never_given_is_never_suggested() -> None:
    found = label_errors(np.array([0, 1], np.int16), np.array([[0.4, 0.0, 0.6], [0.1, 0.2, 0.7]]))
    assert np.isnan(found.thresholds[2])
    assert found.joint.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert not found.suspect.any()


@pytest.mark.parametrize("seed", range(3))
def test_planted_errors_are_found_at_the_floor_measured(seed: int) -> None:
    votes, truth = synthetic(seed)
    draw = np.random.default_rng(seed + 50)
    wrong = draw.random(len(truth)) < 0.1
    labels = np.where(wrong, (truth + draw.integers(1, 4, len(truth))) % 4, truth).astype(np.int16)
    found = label_errors(labels, aggregate(votes, "dawid_skene").matrix)
    hits = (found.suspect & wrong).sum()
    # Measured 0.936 to 0.943 and 0.922 to 0.960 for these seeds.
    assert hits / wrong.sum() > 0.92
    assert hits / found.suspect.sum() > 0.90
    right = found.suggested[found.suspect & wrong] == truth[found.suspect & wrong]
    assert right.mean() > 0.98
    # The worst hundred are nearly all wrong: what a person would look at first.
    assert wrong[found.worst_first()[:100]].mean() > 0.9


@given(st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 2), st.sampled_from([0.4, 0.6, 0.8, None])), min_size=1, max_size=40))
def test_counted_rows_are_as_good_as_repeated_ones(rows: list[tuple[int, int, float | None]]) -> None:
    labels = np.array([row[0] for row in rows], np.int16)
    beliefs = np.array([[np.nan] * 3 if row[2] is None else [row[2] if label == row[1] else (1 - row[2]) / 2 for label in range(3)] for row in rows])
    counts = np.arange(1, len(rows) + 1)
    once = label_errors(labels, beliefs, counts)
    repeated = label_errors(np.repeat(labels, counts), np.repeat(beliefs, counts, axis=0))
    assert np.array_equal(np.repeat(once.suspect, counts), repeated.suspect)
    assert np.array_equal(once.joint, repeated.joint)
    np.testing.assert_allclose(once.thresholds, repeated.thresholds)
    unknown = (labels == ABSTAINS) | np.isnan(beliefs).any(axis=1)
    assert np.isnan(once.quality[unknown]).all()
    assert not once.suspect[unknown].any()


def test_equal_beliefs_reach_their_own_mean() -> None:
    # Ten times 0.7 summed and divided is not always 0.7 again.
    for size in range(1, 60):
        labels = np.repeat([0, 1], size).astype(np.int16)
        beliefs = np.repeat([[0.7, 0.3], [0.3, 0.7]], size, axis=0)
        assert np.trace(label_errors(labels, beliefs).joint) == 2 * size


def test_no_record_and_no_belief_are_allowed() -> None:
    assert label_errors(np.zeros(0, np.int16), np.zeros((0, 2))).joint.tolist() == [[0, 0], [0, 0]]
    found = label_errors(np.zeros(2, np.int16), np.full((2, 2), np.nan))
    assert not found.suspect.any()
    assert np.isnan(found.thresholds).all()
