"""Closed and open loop decide when the next unit goes out, without a server."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from bench import Workload
from bench.load.exchange import Arrival
from bench.load.share import Share
from bench.load.strategy import ClosedLoop, OpenLoop, stream_levels
from bench.workload.arrivals import Concurrency, ConcurrencySteps

MS = 1_000_000


def workload(**fields: Any) -> Workload:
    document = {
        "model": "mock",
        "arrivals": {"kind": "concurrency", "streams": 4, "ramp_s": 0},
        "prompts": {"kind": "text", "text": "x", "max_tokens": 1},
        "stop": {"requests": 10},
    }
    return Workload.model_validate({**document, **fields})


def in_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())


def closed(load: Workload, sent: list[Arrival], share: Share | None = None) -> ClosedLoop:
    arrivals = load.arrivals
    assert isinstance(arrivals, Concurrency | ConcurrencySteps)
    return ClosedLoop(load, arrivals, sent.append, share or Share())


def test_a_closed_loop_keeps_its_streams_busy_and_ends_with_the_last_measured_request() -> None:
    async def work() -> None:
        sent: list[Arrival] = []
        loop = closed(workload(warmup={"requests": 3}), sent)
        loop.start(0)
        assert len(sent) == 4
        for over in range(1, 10):
            loop.on_over()
            assert len(sent) == min(13, 4 + over)
        assert loop.exhausted
        assert [arrival.unit for arrival in sent] == list(range(13))
        assert [arrival.warmup for arrival in sent] == [True] * 3 + [False] * 10

    in_loop(work)


def test_workers_share_streams_and_requests_of_a_closed_loop() -> None:
    async def work() -> None:
        everything: list[int] = []
        for worker in range(3):
            sent: list[Arrival] = []
            loop = closed(workload(), sent, Share(worker, 3))
            loop.start(0)
            assert len(sent) == (2, 1, 1)[worker]
            while not loop.exhausted:
                loop.on_over()
            everything += [arrival.unit for arrival in sent]
        assert sorted(everything) == list(range(10))

    in_loop(work)


def test_streams_start_apart_unless_told_otherwise() -> None:
    spread = stream_levels(Concurrency(kind="concurrency", streams=11))
    assert [streams for _, streams in spread] == list(range(1, 12))
    assert [at_ns for at_ns, _ in spread] == [place * MS for place in range(11)]
    assert stream_levels(Concurrency(kind="concurrency", streams=5000))[-1][0] == 1000 * MS
    assert {at_ns for at_ns, _ in stream_levels(Concurrency(kind="concurrency", streams=11, ramp_s=0))} == {0}


def test_steps_of_streams_end_with_the_last_one() -> None:
    steps = ConcurrencySteps.model_validate({"kind": "concurrency_steps", "steps": [{"streams": 2, "duration_s": 1}, {"streams": 5, "duration_s": 0.5}]})
    assert stream_levels(steps) == [(0, 2), (1000 * MS, 5), (1500 * MS, 0)]

    async def work() -> None:
        sent: list[Arrival] = []
        load = workload(arrivals={"kind": "concurrency_steps", "steps": [{"streams": 2, "duration_s": 0.03}, {"streams": 5, "duration_s": 0.03}]}, stop={})
        loop = closed(load, sent)
        loop.start(time.monotonic_ns())
        assert len(sent) == 2
        await asyncio.sleep(0.2)
        assert loop.exhausted
        assert len(sent) == 5

    in_loop(work)


def test_an_arrival_over_the_cap_waits_in_order_and_keeps_its_intended_time() -> None:
    async def work() -> None:
        sent: list[Arrival] = []
        loop = OpenLoop([0, 1, 2, 3, 4], 1, sent.append, Share(), cap=2)
        loop.start(0)
        assert [arrival.unit for arrival in sent] == [0, 1]
        assert not loop.exhausted
        for over in range(3):
            loop.on_over()
            assert len(sent) == 3 + over
        assert loop.exhausted
        assert [(arrival.unit, arrival.intended_ns) for arrival in sent] == [(place, place) for place in range(5)]
        assert all(arrival.due_ns == arrival.intended_ns for arrival in sent[:2])
        assert all(arrival.due_ns > arrival.intended_ns for arrival in sent[2:])
        assert [arrival.warmup for arrival in sent] == [True, False, False, False, False]

    in_loop(work)


def test_workers_split_a_schedule_without_moving_an_arrival() -> None:
    async def work() -> None:
        everything: list[tuple[int, int]] = []
        for worker in range(2):
            sent: list[Arrival] = []
            OpenLoop([5, 6, 7], 0, sent.append, Share(worker, 2), cap=None).start(100)
            everything += [(arrival.unit, arrival.intended_ns) for arrival in sent]
        assert sorted(everything) == [(0, 105), (1, 106), (2, 107)]

    in_loop(work)
