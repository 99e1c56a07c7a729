"""Percentiles by a stated rule, and bounds that hold as often as they say."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics.early_stopping import certification_floor, certified_percentile, overlatency_allowed
from bench.statistics.percentiles import mean, percentile

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=60)


@pytest.mark.parametrize(("share", "floor"), [(0.50, 11), (0.75, 24), (0.80, 31), (0.90, 64), (0.95, 130), (0.97, 219), (0.99, 662), (0.999, 6636)])
def test_the_floors_are_mlperfs(share: float, floor: int) -> None:
    assert certification_floor(share) == floor
    assert certified_percentile(list(range(floor - 1)), share) is None
    assert certified_percentile(list(range(floor)), share) == floor - 1


@pytest.mark.parametrize(("count", "share"), [(64, 0.9), (200, 0.9), (1000, 0.95), (1500, 0.99), (5000, 0.99)])
def test_the_allowance_is_the_largest_that_an_exact_binomial_tail_admits(count: int, share: float) -> None:
    def tail(most: int) -> float:
        return math.fsum(math.comb(count, k) * (1 - share) ** k * share ** (count - k) for k in range(most + 1))

    allowed = overlatency_allowed(count, share)
    assert tail(allowed) <= 0.01 < tail(allowed + 1)


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
