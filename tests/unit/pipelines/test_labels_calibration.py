"""Calibration on records whose truth is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_kit import synthetic

from stack.pipelines.labels import ABSTAINS, aggregate
from stack.pipelines.labels.calibration import measure_calibration

ROWS = st.lists(st.tuples(st.integers(-1, 2), st.integers(-1, 2), st.floats(0.34, 1)), min_size=1, max_size=40)


def beliefs_of(chosen: np.ndarray, confidence: np.ndarray, k: int = 3) -> np.ndarray:
    """The rest of the belief evenly over the other labels."""
    beliefs = np.repeat(((1 - confidence) / (k - 1))[:, None], k, axis=1)
    beliefs[np.arange(len(chosen)), chosen] = confidence
    return beliefs


def drawn(seed: int, records: int, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chosen labels, beliefs and truths; with sharpness 1 a belief is the true chance, above it is overconfident."""
    draw = np.random.default_rng(seed)
    chance = draw.uniform(0.4, 0.95, records)
    chosen = draw.integers(0, 3, records)
    truth = np.where(draw.random(records) < chance, chosen, (chosen + draw.integers(1, 3, records)) % 3)
    return chosen, beliefs_of(chosen, np.minimum(chance * sharpness, 1.0)), truth


def test_the_figures_of_three_records_are_those_worked_out_by_hand() -> None:
    chosen, truth = np.array([0, 1, 1]), np.array([0, 1, 0])
    beliefs = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    found = measure_calibration(chosen, beliefs, truth, bins=3)
    assert (found.accuracy.successes, found.accuracy.total) == (2, 3)
    # Two labels: twice the squared distance of the first: 0.1², 0.2², 0.6².
    assert found.brier == pytest.approx(2 * (0.01 + 0.04 + 0.36) / 3)
    assert found.ece == pytest.approx((0.1 + 0.2 + 0.6) / 3)
    assert [(each.low, each.right.successes) for each in found.reliability] == [(0.6, 0), (0.8, 1), (0.9, 1)]
    whole = measure_calibration(chosen, beliefs, truth, bins=1)
    assert whole.ece == pytest.approx(abs(2 / 3 - 2.3 / 3))


def test_probabilities_that_mean_what_they_say_show_no_more_than_chance() -> None:
    gaps = [measure_calibration(*drawn(seed, 1000)) for seed in range(40)]
    assert np.mean([each.ece for each in gaps]) == pytest.approx(np.mean([each.ece_by_chance for each in gaps]), rel=0.15)


def test_overconfidence_shows_in_every_figure_and_bin() -> None:
    honest, boasting = measure_calibration(*drawn(1, 5000)), measure_calibration(*drawn(1, 5000, sharpness=1.3))
    assert boasting.accuracy == honest.accuracy
    assert boasting.brier > honest.brier
    assert boasting.ece > 5 * boasting.ece_by_chance
    assert sum(each.confidence > each.right.high for each in boasting.reliability) >= len(boasting.reliability) - 1


def test_bins_hold_equally_many_records_and_equal_probabilities_stay_together() -> None:
    even = measure_calibration(*drawn(2, 1000))
    assert [each.right.total for each in even.reliability] == [100] * 10
    chosen = np.zeros(100, int)
    tied = measure_calibration(chosen, beliefs_of(chosen, np.repeat([0.5, 0.7, 0.9], [10, 80, 10])), chosen)
    assert [(each.low, each.high, each.right.total) for each in tied.reliability] == [(0.5, 0.5, 10), (0.7, 0.7, 80), (0.9, 0.9, 10)]
    # 30 and 70 records in two bins: most of the 70 belong above the middle.
    two = measure_calibration(chosen, beliefs_of(chosen, np.repeat([0.5, 0.9], [30, 70])), chosen, bins=2)
    assert [each.right.total for each in two.reliability] == [30, 70]


def test_a_fitted_label_model_is_better_calibrated_than_the_share_of_votes() -> None:
    votes, truth = synthetic(1, records=20_000)
    fitted, shares = (measure_calibration(each.codes, each.matrix, truth) for each in (aggregate(votes, "dawid_skene"), aggregate(votes, "majority")))
    assert fitted.ece < 0.03 < shares.ece
    assert fitted.brier < shares.brier


@given(ROWS, st.randoms(use_true_random=False))
def test_neither_order_nor_counted_rows_change_a_figure(rows, shuffler) -> None:
    mixed = list(rows)
    shuffler.shuffle(mixed)
    found = []
    for each in (rows, mixed):
        chosen, truth, confidence = (np.array(column) for column in zip(*each, strict=True))
        beliefs = beliefs_of(np.maximum(chosen, 0), confidence)
        found.append(measure_calibration(chosen, beliefs, truth))
        assert measure_calibration(chosen, beliefs, truth, np.full(len(each), 2)).ece == pytest.approx(found[-1].ece)
    assert found[0] == found[1]
    known = sum(ABSTAINS not in (label, true) for label, true, _ in rows)
    assert found[0].accuracy.total == known == sum(each.right.total for each in found[0].reliability)


def test_without_truth_there_is_no_figure() -> None:
    found = measure_calibration(np.array([0]), np.array([[0.8, 0.2]]), np.array([ABSTAINS]))
    assert (found.accuracy.value, found.brier, found.ece, found.ece_by_chance, found.reliability) == (None, None, None, None, ())
