"""Schedules and prompts follow from the seed alone."""

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from bench.load.schedule import poisson_schedule
from bench.workload.arrivals import Poisson
from bench.workload.models import Stop


def schedule(*, rate: float = 100.0, seed: int = 1, warmup: int = 0, requests: int | None = None, duration_s: float | None = None) -> list[int]:
    stop = Stop(requests=requests, duration_s=duration_s)
    return list(poisson_schedule(Poisson(kind="poisson", rate=rate), warmup=warmup, stop=stop, seed=seed))


def test_one_seed_gives_one_schedule_and_another_seed_another() -> None:
    assert schedule(requests=50) == schedule(requests=50)
    assert schedule(requests=50) != schedule(requests=50, seed=2)


def test_the_schedule_of_a_seed_never_changes() -> None:
    """Published numbers must stay reproducible: these values may not move."""
    assert schedule(requests=3) == [940496, 21532387, 29727801]


def test_gaps_are_exponential_by_a_kolmogorov_smirnov_test() -> None:
    times = [0, *schedule(requests=20_000, rate=50)]
    gaps = sorted((later - earlier) * 50 / 1e9 for earlier, later in itertools.pairwise(times))
    count = len(gaps)
    distance = max(max(abs((place + 1) / count - (1 - math.exp(-gap))), abs(place / count - (1 - math.exp(-gap)))) for place, gap in enumerate(gaps))
    assert distance < 1.63 / math.sqrt(count)  # 1 % level; the seed is fixed


def test_counts_in_equal_windows_vary_as_much_as_they_are_large() -> None:
    times = schedule(rate=200, duration_s=200)
    counts = [0] * 200
    for at_ns in times:
        counts[min(199, at_ns // 10**9)] += 1
    average = sum(counts) / 200
    variance = sum((each - average) ** 2 for each in counts) / 199
    assert abs(average - 200) < 4 * math.sqrt(200 / 200)
    assert 0.7 < variance / average < 1.4


@given(st.integers(0, 2**32), st.integers(0, 20), st.integers(1, 50))
def test_the_requests_asked_for_follow_the_warm_up(seed: int, warmup: int, requests: int) -> None:
    times = schedule(seed=seed, warmup=warmup, requests=requests)
    assert len(times) == warmup + requests
    assert times == sorted(times)


@given(st.integers(0, 2**32), st.integers(0, 20))
def test_a_duration_counts_from_the_last_warm_up_arrival(seed: int, warmup: int) -> None:
    times = schedule(seed=seed, warmup=warmup, duration_s=0.5)
    begin = times[warmup - 1] if warmup else 0
    assert all(at - begin <= 5e8 for at in times[warmup:])
    assert times[: warmup + 1] == schedule(seed=seed, requests=warmup + 1)[: len(times)]
