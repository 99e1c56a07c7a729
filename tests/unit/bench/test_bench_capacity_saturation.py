"""Over-saturation is told from a busy server, on simulated queues whose load is known."""

import heapq
import random
from pathlib import Path

import pytest
from bench_kit import request, workload, write

from bench.capacity.saturation import EVERY_S, Point, course, out_of_reach, saturated
from bench.statistics.percentiles import percentile

SEEDS = range(60)


def queue(seed: int, *, load: float, servers: int = 8, service_s: float = 0.5, length_s: float = 40.0) -> list[Point]:
    """M/M/c from empty: arrivals at `load` times what the servers can bear; a wait is the time to first token."""
    draw = random.Random(seed)
    rate = load * servers / service_s
    free = [0.0] * servers
    arrived, spans = 0.0, []
    while (arrived := arrived + draw.expovariate(rate)) < length_s:
        begin = max(arrived, heapq.heappop(free))
        end = begin + draw.expovariate(1 / service_s)
        heapq.heappush(free, end)
        spans.append((arrived, begin, end))
    points = []
    for place in range(1, int(length_s / EVERY_S)):
        now = place * EVERY_S
        waits = [begin - arrived + 0.05 for arrived, begin, _ in spans if now - EVERY_S < begin <= now]
        running = sum(arrived <= now < end for arrived, _, end in spans)
        points.append(Point(now, running, 1000 * sum(waits) / len(waits) if waits else None))
    return points


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_a_server_that_bears_its_load_is_hardly_ever_called_saturated(load: float) -> None:
    assert sum(saturated(queue(seed, load=load)) for seed in SEEDS) <= 2


@pytest.mark.slow
@pytest.mark.parametrize(("load", "least"), [(1.3, 50), (2.0, 58)])
def test_a_server_offered_more_than_it_can_bear_is_called_saturated(load: float, least: int) -> None:
    assert sum(saturated(queue(seed, load=load)) for seed in SEEDS) >= least


def test_a_fuller_but_steady_server_is_not_saturated_while_it_fills_up() -> None:
    """Requests in flight grow from 0 to rate x service time in any run; the time to first token does not."""
    points = [Point(t * EVERY_S, min(40.0, t), 50.0 + (t % 3)) for t in range(1, 100)]
    assert not saturated(points)


def test_too_few_points_say_nothing() -> None:
    assert not saturated([])
    assert not saturated([Point(t * EVERY_S, 10.0 * t, 100.0 * t) for t in range(1, 30)])
    assert saturated([Point(t * EVERY_S, 10.0 * t, 100.0 * t) for t in range(1, 60)])


@pytest.mark.parametrize("share", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("planned", [10, 64, 100, 662, 1000])
def test_out_of_reach_is_said_exactly_when_no_further_value_can_save_the_percentile(planned: int, share: float) -> None:
    limit = 100.0
    for over in range(planned + 1):
        best = [1.0] * (planned - over) + [limit * 1.01] * over
        # With values barely above the limit, interpolation may still end below it: out of reach is the certain case only.
        if out_of_reach(over, planned=planned, share=share):
            assert percentile(best, share) > limit
    assert out_of_reach(planned, planned=planned, share=share)


def test_the_course_of_a_run_follows_from_its_samples(tmp_path: Path) -> None:
    """One arrival every 100 ms, each 102 ms long, first token after 52 ms."""
    points = course(write(tmp_path, [request(index) for index in range(200)], workload()))
    assert len(points) == 79
    assert all(point.ttft_ms == pytest.approx(52) for point in points)
    assert {point.in_flight for point in points} <= {1, 2}
    assert not saturated(points)


def test_a_run_whose_answers_come_ever_later_is_saturated_by_its_samples(tmp_path: Path) -> None:
    rows = []
    for index in range(300):
        late = index * 80_000_000
        row = request(index)
        rows.append(
            {name: value + late if name in ("first_content_ns", "first_visible_ns", "last_content_ns", "closed_ns") else value for name, value in row.items()}
        )
    assert saturated(course(write(tmp_path, rows, workload())))
