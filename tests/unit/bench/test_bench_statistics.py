"""Percentiles by a stated rule, and intervals that hold as often as they say."""

import math
import random
import statistics
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics.early_stopping import certification_floor, certified_percentile, overlatency_allowed
from bench.statistics.means import difference_interval, mean_interval, variance
from bench.statistics.percentiles import Interval, interval_floor, interval_ranks, mean, percentile, percentile_interval
from bench.statistics.proportion import proportion_difference_interval, wilson_interval
from bench.statistics.special import binomial_cdf, regularised_beta, t_cdf, t_quantile

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=60)
SHARES = st.sampled_from([0.5, 0.9, 0.95, 0.99])


def share_held(draws: int, truth: float, interval: Callable[[], Interval | None]) -> float:
    """In how many of the draws the interval holds the truth."""
    found = [interval() for _ in range(draws)]
    assert all(each is not None for each in found)
    return sum(each[0] <= truth <= each[1] for each in found if each is not None) / draws


def slack(draws: int, confidence: float = 0.95) -> float:
    """Four standard deviations of a share of so many draws: what chance may do to a right interval."""
    return 4 * math.sqrt(confidence * (1 - confidence) / draws)


@pytest.mark.parametrize(("share", "floor"), [(0.50, 11), (0.75, 24), (0.80, 31), (0.90, 64), (0.95, 130), (0.97, 219), (0.99, 662), (0.999, 6636)])
def test_the_floors_are_mlperfs(share: float, floor: int) -> None:
    assert certification_floor(share) == floor
    assert certified_percentile(list(range(floor - 1)), share) is None
    assert certified_percentile(list(range(floor)), share) == floor - 1


@pytest.mark.parametrize(("count", "share"), [(64, 0.9), (200, 0.9), (1000, 0.95), (1500, 0.99), (5000, 0.99)])
def test_the_allowance_is_the_largest_that_an_exact_binomial_tail_admits(count: int, share: float) -> None:
    allowed = overlatency_allowed(count, share)
    assert exact_tail(allowed, count, 1 - share) <= 0.01 < exact_tail(allowed + 1, count, 1 - share)


def exact_tail(most: int, count: int, share: float) -> float:
    return math.fsum(math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(most + 1))


def test_a_certified_p90_of_random_samples_lies_above_the_true_one_in_99_of_100_runs() -> None:
    draw = random.Random(5)
    truth = -math.log(0.1)
    bounds = [certified_percentile(sorted(draw.expovariate(1) for _ in range(200)), 0.90) for _ in range(2000)]
    assert sum(bound is not None and bound >= truth for bound in bounds) / 2000 >= 0.99


def test_a_million_samples_are_judged_without_overflow() -> None:
    assert 9_000 < overlatency_allowed(1_000_000, 0.99) < 10_000


@given(VALUES, st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.99, 1.0]))
def test_percentiles_interpolate_as_numpy_does(values: list[float], share: float) -> None:
    assert percentile(sorted(values), share) == pytest.approx(float(np.percentile(values, share * 100)), rel=1e-12, abs=1e-9)


@given(VALUES, st.randoms())
def test_a_mean_does_not_depend_on_the_order(values: list[float], shuffler: random.Random) -> None:
    shuffled = list(values)
    shuffler.shuffle(shuffled)
    assert mean(shuffled) == mean(values)


@given(st.integers(1, 60), st.floats(0.01, 0.99), st.integers(-1, 61))
def test_the_binomial_distribution_is_the_sum_of_its_terms(count: int, share: float, most: int) -> None:
    assert binomial_cdf(most, count, share) == pytest.approx(min(1.0, exact_tail(min(most, count), count, share)), abs=1e-12)


@given(st.floats(0.001, 0.999), st.floats(0.1, 500), st.floats(0.1, 500))
def test_the_incomplete_beta_function_keeps_its_two_identities(x: float, a: float, b: float) -> None:
    assert regularised_beta(x, a, b) == pytest.approx(1 - regularised_beta(1 - x, b, a), abs=1e-11)
    # DLMF 8.17.20: I_x(a, b) - I_x(a + 1, b) = x^a (1 - x)^b / (a B(a, b)).
    step = math.exp(a * math.log(x) + b * math.log1p(-x) - math.log(a) - math.lgamma(a) - math.lgamma(b) + math.lgamma(a + b))
    assert regularised_beta(x, a, b) - regularised_beta(x, a + 1, b) == pytest.approx(step, rel=1e-6, abs=1e-11)


# Tables of Student's t, as in NIST's Engineering Statistics Handbook, 1.3.6.7.2.
@pytest.mark.parametrize(
    ("freedom", "at_95", "at_975", "at_995"),
    [(1, 6.314, 12.706, 63.657), (2, 2.920, 4.303, 9.925), (4, 2.132, 2.776, 4.604), (9, 1.833, 2.262, 3.250), (30, 1.697, 2.042, 2.750)],
)
def test_quantiles_of_students_t_are_those_of_the_tables(freedom: int, at_95: float, at_975: float, at_995: float) -> None:
    assert [round(t_quantile(share, freedom), 3) for share in (0.95, 0.975, 0.995)] == [at_95, at_975, at_995]


@given(st.floats(0.51, 0.9999))
def test_quantiles_of_students_t_are_exact_where_a_closed_form_exists(share: float) -> None:
    assert t_quantile(share, 1) == pytest.approx(math.tan(math.pi * (share - 0.5)), rel=1e-9)
    apart = 2 * share - 1
    assert t_quantile(share, 2) == pytest.approx(apart * math.sqrt(2 / (1 - apart**2)), rel=1e-9)
    assert t_quantile(share, 1e6) == pytest.approx(statistics.NormalDist().inv_cdf(share), rel=1e-5)


@given(st.floats(0.001, 0.999), st.floats(0.5, 200))
def test_the_quantile_of_students_t_undoes_its_distribution(share: float, freedom: float) -> None:
    assert t_cdf(t_quantile(share, freedom), freedom) == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize(("share", "floor"), [(0.50, 6), (0.90, 36), (0.95, 72), (0.99, 368)])
def test_fewest_samples_that_give_an_interval(share: float, floor: int) -> None:
    assert interval_floor(share) == floor
    assert percentile_interval(list(range(floor - 1)), share) is None
    assert percentile_interval(list(range(floor)), share) is not None


@given(st.integers(6, 1200), SHARES)
def test_ranks_of_an_interval_are_the_tightest_that_an_exact_binomial_admits(count: int, share: float) -> None:
    ranks = interval_ranks(count, share)
    if ranks is None:
        return
    low, high = ranks
    assert binomial_cdf(low - 1, count, share) <= 0.025 < binomial_cdf(low, count, share)
    assert 1 - binomial_cdf(high - 1, count, share) <= 0.025 < 1 - binomial_cdf(high - 2, count, share)


@pytest.mark.slow
@given(st.lists(st.floats(0, 1e6), min_size=368, max_size=380), SHARES)
def test_an_interval_holds_the_percentile_it_is_for(values: list[float], share: float) -> None:
    ordered = sorted(values)
    interval = percentile_interval(ordered, share)
    assert interval is not None
    assert interval[0] <= percentile(ordered, share) <= interval[1]


@pytest.mark.slow
@pytest.mark.parametrize(("share", "count"), [(0.5, 30), (0.9, 100), (0.99, 500)])
def test_percentile_intervals_hold_the_truth_at_least_as_often_as_they_say_whatever_the_distribution(share: float, count: int) -> None:
    draw = random.Random(11)
    truth = math.exp(statistics.NormalDist(3, 1).inv_cdf(share))
    held = share_held(2000, truth, lambda: percentile_interval(sorted(draw.lognormvariate(3, 1) for _ in range(count)), share))
    assert held >= 0.95 - slack(2000)


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_t_intervals_over_repeats_hold_the_true_mean_in_95_of_100(count: int) -> None:
    draw = random.Random(count)
    held = share_held(3000, 100, lambda: mean_interval([draw.gauss(100, 7) for _ in range(count)]))
    assert abs(held - 0.95) <= slack(3000)


@pytest.mark.slow
def test_welchs_interval_holds_the_difference_of_two_means_of_unequal_spread() -> None:
    draw = random.Random(3)
    held = share_held(3000, -2, lambda: difference_interval([draw.gauss(10, 1) for _ in range(5)], [draw.gauss(8, 4) for _ in range(8)]))
    assert abs(held - 0.95) <= slack(3000) + 0.01  # Satterthwaite's degrees of freedom are an approximation


def test_means_need_two_values_and_constant_ones_have_no_width() -> None:
    assert mean_interval([5.0]) is None
    assert difference_interval([1.0, 2.0], [1.0]) is None
    assert mean_interval([5.0, 5.0, 5.0]) == (5, 5)
    assert difference_interval([5.0, 5.0], [7.0, 7.0]) == (2, 2)
    assert variance([1.0, 2.0, 3.0, 4.0]) == pytest.approx(5 / 3)


# Wilson's interval for 81 of 263, Newcombe 1998 (Statistics in Medicine 17:857), table I; for 0 of 20 and 1 of 29 as well.
@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"), [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
)
def test_wilsons_interval_is_that_of_the_published_table(successes: int, trials: int, low: float, high: float) -> None:
    interval = wilson_interval(successes, trials)
    assert interval is not None
    assert (round(interval[0], 4), round(interval[1], 4)) == (low, high)


# Newcombe 1998 (Statistics in Medicine 17:873), table II, method 10: 56/70 - 48/80, and 9/10 - 3/10.
@pytest.mark.parametrize(("more", "fewer", "low", "high"), [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090)])
def test_newcombes_interval_of_a_difference_is_that_of_the_published_table(more: tuple[int, int], fewer: tuple[int, int], low: float, high: float) -> None:
    interval = proportion_difference_interval(fewer, more)
    assert interval is not None
    assert (round(interval[0], 4), round(interval[1], 4)) == (low, high)


@given(st.integers(1, 500), st.data())
def test_wilsons_interval_holds_the_share_and_stays_between_0_and_1(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    interval = wilson_interval(successes, trials)
    assert interval is not None
    assert 0 <= interval[0] <= successes / trials <= interval[1] <= 1
    assert wilson_interval(0, 0) is None


@pytest.mark.parametrize("share", [0.5, 0.9, 0.97])
def test_wilsons_interval_holds_the_true_share_about_as_often_as_it_says(share: float) -> None:
    draw = random.Random(7)
    held = share_held(3000, share, lambda: wilson_interval(sum(draw.random() < share for _ in range(200)), 200))
    assert abs(held - 0.95) <= 0.02 + slack(3000)  # its coverage swings by up to 2 % around the nominal value
