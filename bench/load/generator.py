"""When the next request goes out: closed and open loop (edge).

`LoadRun` drives one workload against one endpoint; each exchange that is over is handed to `keep`.
"""

import asyncio
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Protocol

from bench.errors import BenchError
from bench.load.bodies import RequestBodies
from bench.load.client import Client, describe_connect_error
from bench.load.endpoint import Endpoint
from bench.load.exchange import Exchange, Outcome
from bench.load.schedule import poisson_schedule
from bench.load.timer import Timer
from bench.results.summary import ClientHealth, State
from bench.statistics.percentiles import mean, percentile
from bench.workload.arrivals import Concurrency, Poisson
from bench.workload.models import Workload
from stack.runtime.progress import Step

LOOK_AHEAD = 256
LAG_EVERY_NS = 10_000_000
PROGRESS_EVERY_S = 0.25
CONNECT_TIMEOUT_S = 30.0
ALL_REJECTED = 8
"""So many first answers none of which was a 200 end the run: the endpoint takes no request of this kind."""


@dataclass(frozen=True)
class LoadReport:
    """When the load began, how it ended, and what the client noticed of itself."""

    started_ns: int
    state: State
    health: ClientHealth


class Strategy(Protocol):
    """Decides when `issue` is called; `exhausted` once it will not be again."""

    exhausted: bool

    def start(self, began_ns: int) -> None: ...

    def on_over(self) -> None: ...

    def stop(self) -> None: ...


class ClosedLoop:
    """Keeps `streams` requests in flight until the measured ones are all sent or the time is up."""

    def __init__(self, workload: Workload, streams: int, issue: Callable[[int], None]) -> None:
        stop = workload.stop
        self._issue = issue
        self._streams = streams
        self._warmup = workload.warmup.requests
        self._limit = None if stop.requests is None else self._warmup + stop.requests
        self._duration_ns = None if stop.duration_s is None else round(stop.duration_s * 1e9)
        self._deadline_ns: int | None = None
        self._sent = 0
        self.exhausted = False

    def start(self, began_ns: int) -> None:  # noqa: ARG002  # streams start at once, not by the clock
        for _ in range(self._streams):
            self.on_over()

    def on_over(self) -> None:
        now = time.monotonic_ns()
        if self._sent == self._warmup and self._duration_ns is not None:
            self._deadline_ns = now + self._duration_ns
        if self._sent == self._limit or (self._deadline_ns is not None and now >= self._deadline_ns):
            self.exhausted = True
        if not self.exhausted:
            self._sent += 1
            self._issue(now)

    def stop(self) -> None:
        self.exhausted = True


class OpenLoop:
    """Sends at the scheduled times, however many answers are still out."""

    def __init__(self, schedule: Sequence[int], issue: Callable[[int], None]) -> None:
        self._schedule = schedule
        self._issue = issue
        self._next = 0
        self._began_ns = 0
        self._timer = Timer(self._due)
        self.exhausted = False

    def start(self, began_ns: int) -> None:
        self._began_ns = began_ns
        self._due()

    def on_over(self) -> None:
        pass

    def stop(self) -> None:
        self._timer.close()
        self.exhausted = True

    def _due(self) -> None:
        """Send everything that is due, late or not: an arrival is never dropped and its intended time never moved."""
        while self._next < len(self._schedule):
            at_ns = self._began_ns + self._schedule[self._next]
            if at_ns > time.monotonic_ns():
                self._timer.arm(at_ns)
                return
            self._next += 1
            self._issue(at_ns)
        self.stop()


class LagMonitor:
    """Asks every 10 ms to be called at a set time and notes how late the call came."""

    def __init__(self) -> None:
        self.lags_ns = array("q")
        self._timer = Timer(self._due)
        self._expected_ns = 0

    def start(self) -> None:
        self._expected_ns = time.monotonic_ns() + LAG_EVERY_NS
        self._timer.arm(self._expected_ns)

    def stop(self) -> None:
        self._timer.close()

    def _due(self) -> None:
        now = time.monotonic_ns()
        self.lags_ns.append(now - self._expected_ns)
        # Ticks missed while the loop was blocked would each have come late as well: count them, or one long stall looks rare.
        missed = (now - self._expected_ns) // LAG_EVERY_NS
        self.lags_ns.extend(now - self._expected_ns - tick * LAG_EVERY_NS for tick in range(1, missed + 1))
        self._expected_ns += (missed + 1) * LAG_EVERY_NS
        self._timer.arm(self._expected_ns)


class LoadRun:
    """One run: builds requests ahead of their time, issues them, hands the finished ones on."""

    def __init__(self, workload: Workload, endpoint: Endpoint, *, seed: int, run_id: str, keep: Callable[[Exchange], None]) -> None:
        self._workload = workload
        self._url = endpoint.url
        self._keep = keep
        self._payloads = _payloads(workload, endpoint, seed=seed, run_id=run_id)
        self._ahead = deque(islice(self._payloads, LOOK_AHEAD))
        self._client = Client(endpoint, timeout_s=workload.timeout_s, on_over=self._over)
        self._issued = count()
        self._over_count = 0
        self._answered = False
        self._finished = asyncio.Event()
        self._strategy = self._choose_strategy(seed)
        self._state: State = "complete"

    def stop(self, state: State) -> None:
        """Send nothing more and cancel what is in flight; what is over stays."""
        if self._state == "complete" and not self._finished.is_set():
            self._state = state
            self._strategy.stop()
            self._client.cancel_all()
            self._finished.set()

    async def run(self, step: Step, *, called_ns: int) -> LoadReport:
        """From the first connection to the last answer; `called_ns` is when the caller began to get ready."""
        monitor = LagMonitor()
        try:
            await self._connect()
            cpu_ns, began_ns = time.process_time_ns(), time.monotonic_ns()
            monitor.start()
            self._strategy.start(began_ns)
            await self._wait(step)
            wall_s, cpu_s = (time.monotonic_ns() - began_ns) / 1e9, (time.process_time_ns() - cpu_ns) / 1e9
            lags_ms = sorted(lag_ns / 1e6 for lag_ns in monitor.lags_ns)
            health = ClientHealth(
                cpu_s=cpu_s,
                cpu_share=cpu_s / wall_s,
                loop_lag_ms_mean=mean(lags_ms) if lags_ms else None,
                loop_lag_ms_p99=percentile(lags_ms, 0.99) if lags_ms else None,
                start_s=(began_ns - called_ns) / 1e9,
                peak_rss_mb=peak_rss_mb(),
            )
            return LoadReport(started_ns=began_ns, state=self._state, health=health)
        finally:
            monitor.stop()
            self._strategy.stop()
            await self._client.close()

    async def _connect(self) -> None:
        """One connection per stream before the clock starts, or a single one in open loop: an unreachable endpoint is told at once."""
        arrivals = self._workload.arrivals
        try:
            await asyncio.wait_for(self._client.open(arrivals.streams if isinstance(arrivals, Concurrency) else 1), timeout=CONNECT_TIMEOUT_S)
        except TimeoutError:
            raise BenchError(f"--url {self._url}: no connection within {CONNECT_TIMEOUT_S:g} s") from None
        except OSError as error:
            raise BenchError(f"--url {self._url}: cannot connect: {describe_connect_error(error)}") from None

    async def _wait(self, step: Step) -> None:
        while not self._finished.is_set():
            step.done = self._over_count
            step.note(f"{self._client.in_flight} in flight")
            try:
                await asyncio.wait_for(self._finished.wait(), timeout=PROGRESS_EVERY_S)
            except TimeoutError:
                continue
        step.done = self._over_count
        step.note(f"{self._over_count} requests")

    def _choose_strategy(self, seed: int) -> Strategy:
        workload, arrivals = self._workload, self._workload.arrivals
        if isinstance(arrivals, Poisson):
            schedule = poisson_schedule(arrivals, warmup=workload.warmup.requests, stop=workload.stop, seed=seed)
            if len(schedule) <= workload.warmup.requests:
                raise BenchError("field `stop.duration_s`: no arrival falls into it: make it longer or `arrivals.rate` higher")
            return OpenLoop(schedule, self._issue)
        if isinstance(arrivals, Concurrency):
            return ClosedLoop(workload, arrivals.streams, self._issue)
        raise BenchError(f"field `arrivals`: kind {arrivals.kind} is not built yet")

    def _issue(self, intended_ns: int) -> None:
        payload = self._ahead.popleft()
        self._client.send(Exchange(next(self._issued), payload, intended_ns))
        self._ahead.append(next(self._payloads))

    def _over(self, exchange: Exchange, answered: bool) -> None:
        self._over_count += 1
        self._answered = self._answered or answered
        if exchange.outcome is not Outcome.CANCELLED:
            # The next request first: what it waits for here would be charged to the server.
            self._strategy.on_over()
        self._keep(exchange)
        if not self._answered and self._over_count >= ALL_REJECTED:
            self.stop("given_up")
        if self._strategy.exhausted and self._client.in_flight == 0:
            self._finished.set()


def _payloads(workload: Workload, endpoint: Endpoint, *, seed: int, run_id: str) -> Iterator[bytes]:
    bodies = RequestBodies(workload, seed=seed)
    for index in count():
        yield endpoint.request(bodies(index), request_id=f"{run_id}-{index}")


def peak_rss_mb() -> float:
    """MiB from VmHWM: unlike getrusage, it does not remember the parent that forked us."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
