"""The search finds the capacity of servers whose capacity is known."""

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.capacity.search import Done, Probe, SearchPlan, Tried, bracket, next_step

Server = Callable[[Probe], bool]
MOST_PROBES = 120


def search(server: Server, plan: SearchPlan) -> tuple[Done, list[Tried]]:
    tried: list[Tried] = []
    while isinstance(step := next_step(tried, plan), Probe):
        assert len(tried) < MOST_PROBES, "the search does not end"
        tried.append(Tried(step.rate, server(step), confirm=step.confirm))
    return step, tried


rates = st.floats(0.01, 50_000)


@given(capacity=rates, start=rates, precision=st.floats(0.01, 0.5))
def test_a_sharp_threshold_is_found_from_below_within_the_precision(capacity: float, start: float, precision: float) -> None:
    done, tried = search(lambda probe: probe.rate <= capacity, SearchPlan(start, precision))
    assert done.why == "found"
    assert done.rate is not None
    # Rates are rounded to four digits, hence the last thousandth.
    assert capacity / (1 + precision) * 0.999 <= done.rate <= capacity
    assert [each for each in tried if each.confirm] == [Tried(done.rate, True, confirm=True)]


@given(capacity=rates, start=rates)
def test_no_rate_is_tried_twice_in_the_same_way_and_the_way_is_logarithmic(capacity: float, start: float) -> None:
    _, tried = search(lambda probe: probe.rate <= capacity, SearchPlan(start))
    assert len({(each.rate, each.confirm) for each in tried}) == len(tried)
    assert len(tried) <= abs(math.log2(capacity / start)) + math.log2(math.log(2) / math.log(1.1)) + 5


@given(seed=st.integers(0, 10_000), capacity=st.floats(0.1, 1000), noise=st.floats(0.0, 0.3))
def test_with_noisy_probes_the_search_ends_and_what_it_found_was_confirmed(seed: int, capacity: float, noise: float) -> None:
    """Each probe sees a capacity of its own; a long one less noise than a short one."""
    draw = random.Random(seed)

    def server(probe: Probe) -> bool:
        return probe.rate <= capacity * math.exp(draw.gauss(0, noise / (4 if probe.confirm else 1)))

    done, tried = search(server, SearchPlan(1.0))
    assert done.rate is not None
    assert Tried(done.rate, True, confirm=True) in tried
    assert done.rate < min(each.rate for each in tried if not each.meets)
    assert done.rate <= capacity * math.exp(noise * 1.5)


@pytest.mark.slow
@given(seed=st.integers(0, 10_000))
def test_the_capacity_of_a_queue_is_found_from_its_simulated_waits(seed: int) -> None:
    """M/M/1: a request's time in the system is exponential with rate mu - lambda, so p90 <= limit up to lambda = mu - ln(10) / limit."""
    draw = random.Random(seed)
    mu, limit_s = 100.0, 0.05
    true = mu - math.log(10) / limit_s

    def server(probe: Probe) -> bool:
        if probe.rate >= mu:
            return False
        times = sorted(draw.expovariate(mu - probe.rate) for _ in range(4000 if probe.confirm else 400))
        return times[int(0.9 * len(times))] <= limit_s

    done, _ = search(server, SearchPlan(1.0))
    assert done.rate == pytest.approx(true, rel=0.25)


@given(capacity=rates, start=rates, precision=st.floats(0.02, 0.5), cut=st.integers(0, 40))
def test_a_search_taken_up_again_goes_on_where_it_stopped(capacity: float, start: float, precision: float, cut: int) -> None:
    def server(probe: Probe) -> bool:
        return probe.rate <= capacity

    done, tried = search(server, SearchPlan(start, precision))
    again = tried[:cut]
    while isinstance(step := next_step(again, SearchPlan(start, precision)), Probe):
        again.append(Tried(step.rate, server(step), confirm=step.confirm))
    assert (step, again) == (done, tried)


def test_a_coarse_result_is_refined_when_asked_for_more_precision() -> None:
    _, tried = search(lambda probe: probe.rate <= 37, SearchPlan(1.0, 0.5))
    finer = next_step(tried, SearchPlan(1.0, 0.02))
    assert isinstance(finer, Probe)
    now = bracket(tried)
    assert now.low is not None
    assert now.high is not None
    assert now.low < finer.rate < now.high


def test_a_failed_confirmation_lowers_the_rate_by_one_step_and_confirms_there() -> None:
    tried = [Tried(8, True), Tried(16, False), Tried(11.31, True), Tried(13.45, False), Tried(12.33, True)]
    assert next_step(tried, SearchPlan(1.0)) == Probe(12.33, confirm=True)
    tried.append(Tried(12.33, False, confirm=True))
    assert next_step(tried, SearchPlan(1.0)) == Probe(11.31, confirm=True)
    tried.append(Tried(11.31, False, confirm=True))
    assert next_step(tried, SearchPlan(1.0)) == Probe(10.28, confirm=True)
    tried.append(Tried(10.28, True, confirm=True))
    assert next_step(tried, SearchPlan(1.0)) == Done("found", 10.28)


def test_a_server_that_never_fails_stops_the_search_at_its_ceiling() -> None:
    done, tried = search(lambda _: True, SearchPlan(1.0, highest=100))
    assert done == Done("ceiling", 100)
    assert bracket(tried).high is None


def test_a_server_that_always_fails_stops_the_search_at_its_floor() -> None:
    done, _ = search(lambda _: False, SearchPlan(1.0, lowest=0.1))
    assert done == Done("floor", None)


def test_a_rate_that_held_above_one_that_failed_does_not_count() -> None:
    assert bracket([Tried(10, True), Tried(12, False), Tried(14, True)]) == bracket([Tried(10, True), Tried(12, False)])
