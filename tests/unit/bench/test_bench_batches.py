"""What dependent series allow to say: batch means, levels, and resampling in blocks."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics.batches import batch_mean_interval, batch_means, judge_level, lag1_autocorrelation, pettitt
from bench.statistics.bootstrap import central_interval, resampled_percentiles
from bench.statistics.percentiles import mean, percentile_interval


def correlated(draw: random.Random, count: int, rho: float, level: float = 0.0) -> list[float]:
    """A first-order autoregressive series of unit variance."""
    value, series = draw.gauss(0, 1), []
    for _ in range(count):
        series.append(level + value)
        value = rho * value + draw.gauss(0, math.sqrt(1 - rho * rho))
    return series


def test_batches_are_equally_long_and_leave_the_rest_at_the_start_out() -> None:
    assert batch_means([9.0, *range(100)]) == [place * 5 + 2 for place in range(20)]
    assert batch_means(list(range(49))) is None
    assert len(batch_means(list(range(73))) or []) == 14


def test_the_autocorrelation_of_an_autoregressive_series_is_its_coefficient() -> None:
    assert lag1_autocorrelation(correlated(random.Random(1), 20_000, 0.6)) == pytest.approx(0.6, abs=0.03)
    assert lag1_autocorrelation([5.0] * 9) == 0
    assert lag1_autocorrelation([1.0, 2.0]) == 0


@pytest.mark.slow
def test_batch_means_hold_the_true_mean_of_a_dependent_series_where_single_values_would_not() -> None:
    draw = random.Random(2)
    batched = single = 0
    for _ in range(1000):
        series = correlated(draw, 1000, 0.8)
        low, high = batch_mean_interval(series) or (0, 0)
        batched += low <= 0 <= high
        half = 1.96 * float(np.std(series)) / math.sqrt(len(series))
        single += abs(mean(series)) <= half
    assert batched / 1000 >= 0.92
    assert single / 1000 <= 0.60


def test_a_level_that_stays_is_called_steady_in_99_of_100_runs() -> None:
    draw = random.Random(3)
    levels = [judge_level([draw.gauss(100, 10) for _ in range(20)]) for _ in range(2000)]
    assert sum(not level.steady for level in levels) <= 20
    assert sum(level.transient > 0 for level in levels) <= 20


def test_a_shift_of_a_fifth_is_found_with_its_place_and_size() -> None:
    draw = random.Random(4)
    found = [judge_level([draw.gauss(100 if place < 12 else 120, 4) for place in range(20)]) for _ in range(200)]
    shifted = [level for level in found if level.shift_at is not None]
    assert len(shifted) >= 190
    assert sum(level.shift_at == 12 for level in shifted) >= 0.75 * len(shifted)
    assert mean([level.shift for level in shifted]) == pytest.approx(0.2, abs=0.02)


def test_a_slow_start_is_a_transient_and_not_a_shift() -> None:
    draw = random.Random(5)
    levels = [judge_level([40.0, 70.0] + [draw.gauss(100, 3) for _ in range(18)]) for _ in range(200)]
    assert sum(level.transient == 2 for level in levels) >= 196
    assert sum(not level.steady for level in levels) <= 4


def test_a_drift_over_the_whole_run_is_not_steady() -> None:
    draw = random.Random(6)
    assert sum(judge_level([draw.gauss(100 + 3 * place, 3) for place in range(20)]).steady for _ in range(100)) == 0


def test_a_shift_nobody_would_care_for_is_not_told() -> None:
    assert judge_level([100.0] * 10 + [101.0] * 10).steady


def test_a_constant_series_is_steady_and_so_is_nothing_at_all() -> None:
    for value in (0.0, 7.0):
        level = judge_level([value] * 20)
        assert (level.transient, level.shift_at, level.shift) == (0, None, 0)


@given(st.lists(st.integers(0, 9), min_size=2, max_size=15))
def test_pettitts_statistic_is_the_largest_sum_of_signs(values: list[int]) -> None:
    def total(split: int) -> int:
        return abs(sum((b > a) - (b < a) for a in values[:split] for b in values[split:]))

    place, p_value = pettitt(values)
    largest = max(total(split) for split in range(1, len(values)))
    assert total(place) == largest
    n = len(values)
    assert p_value == pytest.approx(min(1, 2 * math.exp(-6 * largest**2 / (n**3 + n**2))))


@pytest.mark.slow
def test_blocks_keep_the_dependence_that_order_statistics_ignore() -> None:
    draw = random.Random(8)
    in_blocks = by_order = 0
    for run in range(300):
        series = correlated(draw, 600, 0.8)
        low, high = central_interval(resampled_percentiles(np.array(series), [0.5], seed=run, resamples=300)[:, 0], confidence=0.95)
        in_blocks += low <= 0 <= high
        ranks = percentile_interval(sorted(series), 0.5)
        by_order += ranks is not None and ranks[0] <= 0 <= ranks[1]
    assert in_blocks / 300 >= 0.82
    assert by_order / 300 <= 0.65


def test_resampling_is_the_same_for_the_same_seed() -> None:
    series = np.arange(50.0)
    assert (resampled_percentiles(series, [0.9], seed=1, resamples=20) == resampled_percentiles(series, [0.9], seed=1, resamples=20)).all()
    assert (resampled_percentiles(series, [0.9], seed=1, resamples=20) != resampled_percentiles(series, [0.9], seed=2, resamples=20)).any()
