"""When the next unit goes out: closed and open loop (edge).

A strategy calls `issue` with each arrival and is told by `on_over` when a unit, a request or a whole session, has ended.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from bench.load.exchange import Arrival
from bench.load.share import Share
from bench.load.timer import Timer
from bench.workload.arrivals import Closed, Concurrency
from bench.workload.models import Workload

Issue = Callable[[Arrival], None]


class Strategy(Protocol):
    """Decides when `issue` is called; `exhausted` once it will not be again."""

    exhausted: bool

    def start(self, began_ns: int) -> None: ...

    def on_over(self) -> None: ...

    def stop(self) -> None: ...


class ClosedLoop:
    """Keeps a number of streams busy, each with one unit at a time, until the measured ones are all sent or the time is up."""

    def __init__(self, workload: Workload, arrivals: Closed, issue: Issue, share: Share) -> None:
        self._warmup, self._stop = workload.warmup, workload.stop
        self._issue = issue
        self._share = share
        self._levels = stream_levels(arrivals)
        self._warmup_left = share.of(workload.warmup.requests)
        self._measured_left = None if workload.stop.requests is None else share.of(workload.stop.requests)
        self._began_ns = 0
        self._deadline_ns: int | None = None
        self._place = 0
        self._active = 0
        self._wanted = 0
        self._level = 0
        self._timer = Timer(self._step)
        self.exhausted = False

    @property
    def first_streams(self) -> int:
        """Streams that will be wanted before any level says fewer: connections worth opening before the clock starts."""
        return self._share.of(max(streams for _, streams in self._levels))

    def start(self, began_ns: int) -> None:
        self._began_ns = began_ns
        self._step()

    def on_over(self) -> None:
        self._active -= 1
        if self._active < self._wanted:
            self._next()

    def stop(self) -> None:
        self.exhausted = True
        self._timer.close()

    def _step(self) -> None:
        """Go through the levels that have begun, start the streams they ask for, and come back for the next one."""
        if self.exhausted:
            return
        now = time.monotonic_ns()
        while self._level < len(self._levels) and self._began_ns + self._levels[self._level][0] <= now:
            self._wanted = self._share.of(self._levels[self._level][1])
            self._level += 1
        if self._level == len(self._levels) and self._wanted == 0 and self._levels[-1][1] == 0:
            self.stop()
        while self._active < self._wanted and not self.exhausted:
            self._next()
        if self._level < len(self._levels) and not self.exhausted:
            self._timer.arm(self._began_ns + self._levels[self._level][0])

    def _next(self) -> None:
        now = time.monotonic_ns()
        warmup = self._warmup_left > 0 or now - self._began_ns < self._warmup.duration_s * 1e9
        if not warmup and self._deadline_ns is None and self._stop.duration_s is not None:
            self._deadline_ns = now + round(self._stop.duration_s * 1e9)
        if not warmup and (self._measured_left == 0 or (self._deadline_ns is not None and now >= self._deadline_ns)):
            self.stop()
        if self.exhausted:
            return
        self._warmup_left -= 1
        if not warmup and self._measured_left is not None:
            self._measured_left -= 1
        self._active += 1
        unit = self._share.unit(self._place)
        self._place += 1
        self._issue(Arrival(unit=unit, intended_ns=now, due_ns=now, warmup=warmup))
        self._check_rest()

    def _check_rest(self) -> None:
        if self._measured_left == 0 and self._warmup_left <= 0:
            self.stop()


class OpenLoop:
    """Sends at the scheduled times, however many answers are still out, or at most `cap` at once: then arrivals wait, in order."""

    def __init__(self, schedule: Sequence[int], warmup: int, issue: Issue, share: Share, *, cap: int | None) -> None:
        self._schedule = schedule
        self._warmup = warmup
        self._issue = issue
        self._share = share
        self._cap = cap
        self._waiting: deque[Arrival] = deque()
        self._active = 0
        self._place = 0
        self._began_ns = 0
        self._timer = Timer(self._due)
        self.exhausted = False

    def start(self, began_ns: int) -> None:
        self._began_ns = began_ns
        self._due()

    def on_over(self) -> None:
        self._active -= 1
        if self._waiting and not self.exhausted:
            waited = self._waiting.popleft()
            self._send(Arrival(unit=waited.unit, intended_ns=waited.intended_ns, due_ns=time.monotonic_ns(), warmup=waited.warmup))
            self._check_end()

    def stop(self) -> None:
        self._timer.close()
        self.exhausted = True

    def _due(self) -> None:
        """Send everything that is due, late or not: an arrival is never dropped and its intended time never moved."""
        while (unit := self._share.unit(self._place)) < len(self._schedule):
            at_ns = self._began_ns + self._schedule[unit]
            if at_ns > time.monotonic_ns():
                self._timer.arm(at_ns)
                return
            self._place += 1
            arrival = Arrival(unit=unit, intended_ns=at_ns, due_ns=at_ns, warmup=unit < self._warmup)
            if self._cap is None or self._active < self._cap:
                self._send(arrival)
            else:
                self._waiting.append(arrival)
        self._check_end()

    def _send(self, arrival: Arrival) -> None:
        self._active += 1
        self._issue(arrival)

    def _check_end(self) -> None:
        if self._share.unit(self._place) >= len(self._schedule) and not self._waiting:
            self.stop()


class Thinking:
    """Calls back after set pauses, many at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pending: set[asyncio.TimerHandle] = set()

    def __len__(self) -> int:
        return len(self._pending)

    def after(self, pause_ns: int, then: Callable[[], None]) -> None:
        def fire() -> None:
            self._pending.discard(handle)
            then()

        handle = self._loop.call_later(pause_ns / 1e9, fire)
        self._pending.add(handle)

    def stop(self) -> None:
        for handle in self._pending:
            handle.cancel()
        self._pending.clear()


def stream_levels(arrivals: Closed) -> list[tuple[int, int]]:
    """From when (ns since the start) how many streams are wanted; a last level of 0 ends the run."""
    if isinstance(arrivals, Concurrency):
        gap_ns = arrivals.spread_s * 1e9 / max(1, arrivals.streams - 1)
        return [(round(stream * gap_ns), stream + 1) for stream in range(arrivals.streams)]
    levels, at_ns = [], 0
    for step in arrivals.steps:
        levels.append((at_ns, step.streams))
        at_ns += round(step.duration_s * 1e9)
    return [*levels, (at_ns, 0)]
