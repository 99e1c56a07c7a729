"""Schedules follow from the workload and the seed alone, and have the distribution they are named after."""

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from bench.arrivals import schedule as module
from bench.arrivals.rates import rate_profile
from bench.arrivals.schedule import MOST_ARRIVALS, NS, Schedule, plan_arrivals
from bench.errors import BenchError
from bench.workload.arrivals import Open
from bench.workload.models import Stop, Warmup

KOLMOGOROV_1_PERCENT = 1.628
"""Massey 1951: the distance that a right sample passes with 1 %, times the root of its size. Seeds are fixed: a test passes or it does not."""


def arrivals(kind: str, **fields: Any) -> Open:
    return TypeAdapter[Open](Open).validate_python({"kind": kind, **fields})


def plan(load: Open, *, seed: int = 1, warmup: dict[str, Any] | None = None, **stop: Any) -> Schedule:
    return plan_arrivals(load, warmup=Warmup(**(warmup or {})), stop=Stop(**stop), seed=seed)


rates = st.floats(0.01, 100_000).map(lambda rate: round(rate, 3))
poisson = st.builds(lambda rate: arrivals("poisson", rate=rate), rates)
gamma = st.builds(lambda rate, shape: arrivals("gamma", rate=rate, shape=shape), rates, st.sampled_from([0.1, 0.5, 1, 4]))
constant = st.builds(lambda rate: arrivals("constant", rate=rate), rates)
ramp = st.builds(
    lambda low, high, lasts, spacing: arrivals("ramp", from_rate=low, to_rate=high, duration_s=lasts, spacing=spacing),
    *(rates, rates, st.floats(0.1, 1000), st.sampled_from(["poisson", "constant"])),
)
steps = st.builds(
    lambda each, spacing: arrivals("steps", steps=[{"rate": rate, "duration_s": 100 / rate} for rate in each], spacing=spacing),
    *(st.lists(st.floats(1, 1000), min_size=1, max_size=4), st.sampled_from(["poisson", "constant"])),
)
random_kinds = poisson | gamma | ramp.filter(lambda load: load.spacing == "poisson")
endless = poisson | gamma | constant | ramp
seeds = st.integers(0, 2**63)


@given(endless, seeds, st.integers(0, 20), st.integers(1, 50))
def test_the_requests_asked_for_follow_the_warm_up_in_order(load: Open, seed: int, warmup: int, requests: int) -> None:
    planned = plan(load, seed=seed, warmup={"requests": warmup}, requests=requests)
    assert (planned.warmup, len(planned.at_ns)) == (warmup, warmup + requests)
    assert list(planned.at_ns) == sorted(planned.at_ns)
    assert planned.at_ns[0] >= 0


@given(endless | steps, seeds, st.integers(1, 30), st.integers(1, 30))
def test_a_later_end_appends_arrivals_and_moves_none(load: Open, seed: int, requests: int, more: int) -> None:
    short, long = (plan(load, seed=seed, warmup={"requests": 2}, requests=count).at_ns for count in (requests, requests + more))
    assert long[: len(short)] == short


@given(poisson | gamma | constant, seeds, st.floats(1, 20), st.floats(1, 3))
def test_a_longer_measured_phase_appends_arrivals_and_moves_none(load: Any, seed: int, mean: float, factor: float) -> None:
    try:
        short, long = (plan(load, seed=seed, duration_s=mean / load.rate * each).at_ns for each in (1, factor))
    except BenchError:
        return  # by chance no arrival in the shorter one
    assert long[: len(short)] == short


@given(random_kinds, seeds)
def test_one_seed_gives_one_schedule_and_another_seed_another(load: Open, seed: int) -> None:
    assert plan(load, seed=seed, requests=20) == plan(load, seed=seed, requests=20)
    assert plan(load, seed=seed, requests=20) != plan(load, seed=seed + 1, requests=20)


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (arrivals("poisson", rate=100), [940496, 21532387, 29727801]),
        (arrivals("gamma", rate=100, shape=0.5), [225880, 28697099, 35613251]),
        (arrivals("gamma", rate=100, shape=4), [4166246, 15109946, 25060067]),
        (arrivals("ramp", from_rate=100, to_rate=50, duration_s=1), [940717, 21649563, 29952083]),
        (arrivals("steps", steps=[{"rate": 100, "duration_s": 0.02}, {"rate": 50, "duration_s": 1}]), [940496, 23064774, 39455603]),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_the_schedule_of_a_seed_never_changes(load: Open, expected: list[int]) -> None:
    """Published numbers must stay reproducible: these values may not move."""
    assert list(plan(load, requests=3).at_ns) == expected


# Constant: exact


@given(st.integers(1, 10**9).map(lambda thousandths: thousandths / 1000), st.integers(1, 1000))
def test_constant_arrivals_lie_at_the_nearest_nanosecond_of_k_over_the_rate(rate: float, requests: int) -> None:
    written = Fraction(str(rate))
    at_ns = plan(arrivals("constant", rate=rate), requests=requests).at_ns
    assert all(abs(at - (place + 1) * NS / written) <= Fraction(1, 2) for place, at in enumerate(at_ns))


def test_constant_arrivals_do_not_drift_over_a_quarter_of_a_million_requests() -> None:
    at_ns = plan(arrivals("constant", rate=0.3), requests=250_000).at_ns
    assert at_ns[2] == 10 * NS
    assert at_ns[249_998] == 833_330 * NS
    assert {later - earlier for earlier, later in itertools.pairwise(at_ns)} == {3_333_333_333, 3_333_333_334}


def test_constant_steps_hold_rate_times_duration_arrivals_with_decimals_as_written() -> None:
    # In binary 0.29 * 100 is 28.999999999999996 and 1.1 * 10 is 11.000000000000002.
    load = arrivals("steps", steps=[{"rate": 0.29, "duration_s": 100}, {"rate": 1.1, "duration_s": 10}], spacing="constant")
    at_ns = plan(load).at_ns
    assert len(at_ns) == 29 + 11
    assert at_ns[28] == 100 * NS
    assert at_ns[-1] == 110 * NS


def test_a_constant_ramp_puts_arrival_k_where_the_integrated_rate_is_k() -> None:
    # From 10/s to 30/s in 10 s: R(t) = 10 t + t^2, so R(10) = 200, and 30/s from then on.
    at_s = [at / NS for at in plan(arrivals("ramp", from_rate=10, to_rate=30, duration_s=10, spacing="constant"), requests=230).at_ns]
    assert [round(10 * at + at * at, 6) for at in at_s[:200]] == list(range(1, 201))
    assert at_s[199] == 10
    assert at_s[229] == 11


def test_a_falling_ramp_is_inverted_as_well_as_a_rising_one() -> None:
    at_s = [at / NS for at in plan(arrivals("ramp", from_rate=30, to_rate=10, duration_s=10, spacing="constant"), requests=210).at_ns]
    assert [round(30 * at - at * at, 6) for at in at_s[:200]] == list(range(1, 201))
    assert at_s[209] == 11


@given(ramp | steps, st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=20))
def test_times_are_the_inverse_of_the_integrated_rate(load: Any, counts: list[float]) -> None:
    profile = rate_profile(load)
    counts = sorted(counts)
    times = list(profile.times(counts))
    assert len(times) == sum(count <= profile.total for count in counts)
    for count, at_s in zip(counts, times, strict=False):
        assert profile.expected(at_s) == pytest.approx(count, rel=1e-9)


# Random kinds: their distribution


def kolmogorov(sample: Sequence[float], cdf: Callable[[float], float]) -> float:
    """D, times the root of the sample's size."""
    ordered, count = sorted(sample), len(sample)
    distance = max(max((place + 1) / count - cdf(each), cdf(each) - place / count) for place, each in enumerate(ordered))
    return distance * math.sqrt(count)


def gaps(at_ns: Sequence[int], rate: float) -> list[float]:
    """In units of the mean gap."""
    return [(later - earlier) * rate / NS for earlier, later in itertools.pairwise([0, *at_ns])]


def exponential(gap: float) -> float:
    return -math.expm1(-gap)


def gamma_half(gap: float) -> float:
    """P(1/2, x) = erf(sqrt x), of scale 2."""
    return math.erf(math.sqrt(gap / 2))


def gamma_four(gap: float) -> float:
    """Erlang of four stages: 1 - exp(-x) (1 + x + x^2/2 + x^3/6), of scale 1/4."""
    x = 4 * gap
    return 1 - math.exp(-x) * (1 + x + x**2 / 2 + x**3 / 6)


@pytest.mark.parametrize(
    ("load", "cdf", "others"),
    [
        (arrivals("poisson", rate=50), exponential, [gamma_half, gamma_four]),
        (arrivals("gamma", rate=50, shape=1), exponential, [gamma_half, gamma_four]),
        (arrivals("gamma", rate=50, shape=0.5), gamma_half, [exponential]),
        (arrivals("gamma", rate=50, shape=4), gamma_four, [exponential]),
    ],
    ids=["poisson", "gamma-1", "gamma-0.5", "gamma-4"],
)
def test_gaps_have_their_distribution_by_a_kolmogorov_smirnov_test(load: Open, cdf: Callable[[float], float], others: list[Callable[[float], float]]) -> None:
    found = gaps(plan(load, requests=20_000).at_ns, 50)
    assert kolmogorov(found, cdf) < KOLMOGOROV_1_PERCENT
    assert all(kolmogorov(found, other) > 10 * KOLMOGOROV_1_PERCENT for other in others), "the test can fail"


def test_successive_gaps_are_not_correlated() -> None:
    found = gaps(plan(arrivals("poisson", rate=50), requests=20_000).at_ns, 50)
    product = sum((one - 1) * (next_one - 1) for one, next_one in itertools.pairwise(found)) / len(found)
    assert abs(product) < 2.6 / math.sqrt(len(found))


@pytest.mark.parametrize(("load", "low", "high"), [("poisson", 0.85, 1.15), (0.25, 3.2, 4.8), (1.0, 0.85, 1.15), (4.0, 0.2, 0.3)])
def test_the_dispersion_of_counts_is_one_over_the_shape(load: str | float, low: float, high: float) -> None:
    """Variance over mean of the counts in windows much longer than a gap: 1 for Poisson, 1 / shape for gamma (renewal theory)."""
    wanted = arrivals("poisson", rate=100) if load == "poisson" else arrivals("gamma", rate=100, shape=load)
    windows = 1000
    counts = [0] * windows
    for at_ns in plan(wanted, duration_s=windows).at_ns:
        counts[min(windows - 1, at_ns // NS)] += 1
    average = sum(counts) / windows
    dispersion = sum((each - average) ** 2 for each in counts) / (windows - 1) / average
    assert average == pytest.approx(100, rel=0.03)
    assert low < dispersion < high


@pytest.mark.parametrize(
    "load",
    [
        arrivals("ramp", from_rate=5, to_rate=200, duration_s=60),
        arrivals("ramp", from_rate=200, to_rate=5, duration_s=60),
        arrivals("steps", steps=[{"rate": rate, "duration_s": 30} for rate in (20, 200, 50)]),
    ],
    ids=["rising", "falling", "steps"],
)
def test_a_changing_rate_gives_unit_exponential_gaps_in_its_own_time(load: Any) -> None:
    """R(t) turns a Poisson process of rate r(t) into one of rate 1; plain time does not."""
    profile = rate_profile(load)
    at_ns = plan(load, requests=6000).at_ns
    own = [profile.expected(at / NS) for at in at_ns]
    assert kolmogorov([later - earlier for earlier, later in itertools.pairwise([0, *own])], exponential) < KOLMOGOROV_1_PERCENT
    assert kolmogorov(gaps(at_ns, len(at_ns) / at_ns[-1] * NS), exponential) > 2 * KOLMOGOROV_1_PERCENT, "the test can fail"


# Warm-up and end


@given(st.integers(0, 20), st.floats(0, 2), st.floats(0.5, 2), seeds)
def test_the_warm_up_is_so_many_requests_and_so_many_seconds_and_the_measured_time_follows_it(requests: int, warm_s: float, last_s: float, seed: int) -> None:
    planned = plan(arrivals("poisson", rate=20), seed=seed, warmup={"requests": requests, "duration_s": warm_s}, duration_s=last_s + 0.5)
    warm, measured = planned.at_ns[: planned.warmup], planned.at_ns[planned.warmup :]
    warm_ns = round(warm_s * NS)
    assert planned.warmup >= requests
    assert measured[0] >= warm_ns
    assert planned.warmup == requests or warm[-1] < warm_ns
    begin_ns = max(warm_ns, warm[requests - 1]) if requests else warm_ns
    assert measured[-1] - begin_ns <= (last_s + 0.5) * NS
    longer = plan(arrivals("poisson", rate=20), seed=seed, warmup={"requests": requests, "duration_s": warm_s}, duration_s=60)
    assert longer.at_ns[len(planned.at_ns)] - begin_ns > (last_s + 0.5) * NS, "nothing that belongs to it is left out"


def test_an_arrival_at_the_end_of_the_warm_up_is_measured_and_one_at_the_end_of_the_phase_is_too() -> None:
    planned = plan(arrivals("constant", rate=10), warmup={"duration_s": 1}, duration_s=2)
    assert planned.warmup == 9
    assert [at / NS for at in planned.at_ns[9:]] == [round(1 + tenth / 10, 1) for tenth in range(21)]


def test_steps_end_by_themselves_or_earlier() -> None:
    load = arrivals("steps", steps=[{"rate": 10, "duration_s": 1}, {"rate": 20, "duration_s": 1}], spacing="constant")
    assert len(plan(load).at_ns) == 30
    assert len(plan(load, requests=12).at_ns) == 12
    assert len(plan(load, duration_s=1.5).at_ns) == 20


def test_a_trace_is_sent_at_its_own_times_whatever_the_seed(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("Timestamp,Request tokens,Response tokens\n5,1,1\n6,1,1\n9,1,1\n")
    load = arrivals("trace", file=path, format="burstgpt", speedup=2)
    assert list(plan(load).at_ns) == list(plan(load, seed=2).at_ns) == [0, NS // 2, 2 * NS]
    assert list(plan(load, warmup={"duration_s": 0.1}, requests=1).at_ns) == [0, NS // 2]


@pytest.mark.parametrize(
    ("load", "warmup", "stop", "field"),
    [
        (arrivals("constant", rate=1), {}, {"duration_s": 0.5}, "field `stop.duration_s`"),
        (arrivals("constant", rate=1), {"requests": 5}, {"duration_s": 0.5}, "field `stop.duration_s`"),
        (arrivals("steps", steps=[{"rate": 1, "duration_s": 3}], spacing="constant"), {"requests": 3}, {}, "field `warmup`"),
        (arrivals("steps", steps=[{"rate": 1, "duration_s": 0.5}], spacing="constant"), {}, {}, "field `arrivals.steps`"),
    ],
)
def test_a_plan_without_a_measured_arrival_is_refused_by_field(load: Open, warmup: dict[str, Any], stop: dict[str, Any], field: str) -> None:
    with pytest.raises(BenchError, match=field) as caught:
        plan(load, warmup=warmup, **stop)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("load", "warmup", "stop"),
    [
        (arrivals("poisson", rate=1_000_000), {}, {"duration_s": 604_800}),
        (arrivals("constant", rate=1), {}, {"requests": MOST_ARRIVALS + 1}),
        (arrivals("gamma", rate=1, shape=2), {"requests": MOST_ARRIVALS}, {"requests": 1}),
        (arrivals("constant", rate=1_000_000), {"duration_s": 86_400}, {"requests": 1}),
        (arrivals("ramp", from_rate=1, to_rate=1_000_000, duration_s=100), {}, {"duration_s": 80}),
        (arrivals("steps", steps=[{"rate": 1_000_000, "duration_s": 30}]), {}, {}),
    ],
)
def test_a_plan_that_would_not_fit_into_memory_is_refused_before_it_is_drawn(
    monkeypatch: pytest.MonkeyPatch, load: Open, warmup: dict[str, Any], stop: dict[str, Any]
) -> None:
    monkeypatch.setattr(module, "_times_ns", lambda arrivals, seed: pytest.fail("drawn"))
    with pytest.raises(BenchError, match="field `stop`: about"):
        plan(load, warmup=warmup, **stop)


def test_a_plan_that_is_longer_than_its_mean_is_cut_short_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ARRIVALS", 20)
    assert len(plan(arrivals("constant", rate=1), requests=20).at_ns) == 20
    with pytest.raises(BenchError, match="field `stop`: more"):
        plan(arrivals("constant", rate=1), warmup={"requests": 19}, duration_s=2)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.integers(1, 1000))
def test_a_minute_at_a_high_rate_is_planned_to_the_last_arrival(rate: int) -> None:
    assert len(plan(arrivals("constant", rate=rate), duration_s=60).at_ns) == 60 * rate
