"""One worker's part of a run: it builds requests ahead of their time, issues them, and hands the finished ones on (edge)."""

import asyncio
import resource
import time
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from bench.arrivals.schedule import plan_arrivals
from bench.errors import BenchError
from bench.load.client import Client, describe_connect_error
from bench.load.endpoint import Endpoint
from bench.load.exchange import Arrival, Exchange, Outcome
from bench.load.lag import LagMonitor
from bench.load.progress import Progress
from bench.load.requests import Conversations, Job, Received, SingleRequests
from bench.load.spool import Spool
from bench.load.strategy import ClosedLoop, OpenLoop, Strategy, Thinking
from bench.prompts.bodies import request_bodies
from bench.prompts.sessions import session_bodies
from bench.results.decode import OK, decode
from bench.results.summary import ClientHealth, State
from bench.statistics.percentiles import mean, percentile
from bench.workload.arrivals import Closed
from bench.workload.prompts import Sessions

REPORT_EVERY_S = 0.25
CONNECT_TIMEOUT_S = 30.0
OTHER_FILES = 64
ALL_REJECTED = 8
"""So many first answers none of which was a 200 end the run: the endpoint takes no request of this kind."""


@dataclass(frozen=True)
class Report:
    """When the load began, how it ended and why, and what the client noticed of itself."""

    started_ns: int
    state: State
    reason: str
    health: ClientHealth


class LoadRun:
    """One worker's run. `prepare` connects, `run` sends from a set moment on until everything is over or `stop` is called."""

    def __init__(self, job: Job, endpoint: Endpoint, spool: Spool) -> None:
        workload = job.workload
        self._workload = workload
        self._url = endpoint.url
        self._spool = spool
        prompts = workload.prompts
        self._requests: SingleRequests | Conversations = (
            Conversations(prompts, session_bodies(workload, seed=job.seed), endpoint, job.run_id)
            if isinstance(prompts, Sessions)
            else SingleRequests(request_bodies(workload, seed=job.seed), endpoint, job)
        )
        self._client = Client(endpoint, timeout_s=workload.timeout_s, on_over=self._over)
        self._connections = 1
        self._strategy = self._choose_strategy(job)
        self._thinking = Thinking()
        self._monitor = LagMonitor()
        self._sent = self._over_count = self._failed = self._bytes = 0
        self._first_byte_ms = array("d")
        self._tell_latencies = job.tell_latencies
        self._latencies: list[tuple[float, float | None, float]] = []
        self._answered = False
        self._began_ns = 0
        self._status = Path("/proc/self/status").open()  # noqa: SIM115  # closed at the end of `run`
        self._finished = asyncio.Event()
        self._state: State = "complete"
        self._reason = ""

    def finish(self) -> None:
        """Send nothing more and wait for what is in flight."""
        self._strategy.stop()
        self._thinking.stop()
        self._check_finished()

    def stop(self, state: State, reason: str = "") -> None:
        """Send nothing more and cancel what is in flight; what is over stays."""
        if self._state == "complete" and not self._finished.is_set():
            self._state, self._reason = state, reason
            self._cancel("the run was stopped")

    async def prepare(self) -> None:
        """One connection per stream before the clock starts, or a single one in open loop: an unreachable endpoint is told at once."""
        need_files(self._connections)
        try:
            await asyncio.wait_for(self._client.open(self._connections), timeout=CONNECT_TIMEOUT_S)
        except TimeoutError:
            raise BenchError(f"--url {self._url}: no connection within {CONNECT_TIMEOUT_S:g} s") from None
        except OSError as error:
            raise BenchError(f"--url {self._url}: cannot connect: {describe_connect_error(error)}") from None

    async def run(self, *, begin_ns: int, called_ns: int, report: Callable[[Progress], Awaitable[None]]) -> Report:
        """From `begin_ns` to the last answer; `report` is called 4 times a second and at the end.

        `called_ns` is when the caller began to get ready.
        """
        try:
            # The loop's own timers are good to a millisecond: the strategy's is exact, and set in time.
            await asyncio.sleep(max(0.0, (begin_ns - time.monotonic_ns()) / 1e9 - 0.005))
            cpu_ns, self._began_ns = time.process_time_ns(), begin_ns
            if not self._finished.is_set():
                self._monitor.start()
                self._strategy.start(self._began_ns)
            await self._wait(report)
            health = self._health(cpu_s=(time.process_time_ns() - cpu_ns) / 1e9, start_s=(self._began_ns - called_ns) / 1e9)
            return Report(started_ns=self._began_ns, state=self._state, reason=self._reason, health=health)
        finally:
            self._monitor.stop()
            self._thinking.stop()
            self._strategy.stop()
            self._status.close()
            await self._client.close()

    def _choose_strategy(self, job: Job) -> Strategy:
        workload, share = self._workload, job.share
        arrivals = workload.arrivals
        if isinstance(arrivals, Closed):
            strategy = ClosedLoop(workload, arrivals, self._issue, share)
            self._connections = max(1, strategy.first_streams)
            return strategy
        schedule = plan_arrivals(arrivals, warmup=workload.warmup, stop=workload.stop, seed=job.seed)
        cap = arrivals.max_in_flight
        return OpenLoop(schedule.at_ns, schedule.warmup, self._issue, share, cap=None if cap is None else share.of(cap))

    async def _wait(self, report: Callable[[Progress], Awaitable[None]]) -> None:
        drain_s, drain_until_s = self._workload.drain.timeout_s, None
        while not self._finished.is_set():
            try:
                await asyncio.wait_for(self._finished.wait(), timeout=REPORT_EVERY_S)
            except TimeoutError:
                self._client.expire()
            now_s = time.monotonic()
            if drain_s is not None and self._strategy.exhausted and drain_until_s is None:
                drain_until_s = now_s + drain_s
            if drain_until_s is not None and now_s >= drain_until_s:
                self._cancel(f"not over {drain_s:g} s after the last request was sent (field `drain.timeout_s`)")
            self._flush()
            await report(self._progress())

    def _flush(self) -> None:
        try:
            self._spool.flush()
        except OSError as error:
            self.stop("disk_full", f"{self._spool.path}: {error.strerror}")

    def _progress(self) -> Progress:
        first_byte_ms, self._first_byte_ms = tuple(self._first_byte_ms), array("d")
        latencies, self._latencies = tuple(self._latencies), []
        return Progress(
            elapsed_s=(time.monotonic_ns() - self._began_ns) / 1e9,
            sent=self._sent,
            over=self._over_count,
            failed=self._failed,
            in_flight=self._client.in_flight,
            bytes_read=self._bytes,
            first_byte_ms=first_byte_ms,
            latencies=latencies,
        )

    def _health(self, *, cpu_s: float, start_s: float) -> ClientHealth:
        lags_ms = sorted(lag_ns / 1e6 for lag_ns in self._monitor.lags_ns)
        return ClientHealth(
            cpu_s=cpu_s,
            cpu_share=cpu_s / max(1e-9, (time.monotonic_ns() - self._began_ns) / 1e9),
            loop_lag_ms_mean=mean(lags_ms) if lags_ms else None,
            loop_lag_ms_p99=percentile(lags_ms, 0.99) if lags_ms else None,
            start_s=start_s,
            peak_rss_mb=peak_rss_mb(self._status),
        )

    def _issue(self, arrival: Arrival) -> None:
        self._sent += 1
        self._client.send(self._requests.first(arrival))

    def _issue_turn(self, exchange: Exchange) -> None:
        # A user's pause ends when it ends: what the timer adds to it is not the server's.
        exchange.intended_ns = exchange.due_ns = time.monotonic_ns()
        self._sent += 1
        self._client.send(exchange)

    def _over(self, exchange: Exchange, answered: bool) -> None:
        self._over_count += 1
        self._answered = self._answered or answered
        complete = exchange.outcome is Outcome.COMPLETE and answered
        self._failed += not complete
        if exchange.outcome is not Outcome.CANCELLED:
            # The next request first: what it waits for here would be charged to the server.
            following = self._requests.following(exchange) if complete and self._state == "complete" else None
            if following is None:
                self._strategy.on_over()
            else:
                turn, pause_ns = following
                if pause_ns:
                    self._thinking.after(pause_ns, lambda: self._issue_turn(turn))
                else:
                    self._issue_turn(turn)
        if exchange.stamps:
            self._first_byte_ms.append((exchange.stamps[0] - exchange.intended_ns) / 1e6)
        try:
            self._bytes += self._spool.append(exchange)
        except OSError as error:
            self.stop("disk_full", f"{self._spool.path}: {error.strerror}")
        if self._tell_latencies and complete and not exchange.warmup and (latencies := _latencies(exchange, open_loop=self._workload.open_loop)):
            self._latencies.append(latencies)
        if not self._answered and self._over_count >= ALL_REJECTED:
            self.stop("given_up")
        self._check_finished()

    def _cancel(self, why: str) -> None:
        self._strategy.stop()
        self._thinking.stop()
        self._client.cancel_all(why)
        self._check_finished()

    def _check_finished(self) -> None:
        if self._strategy.exhausted and self._client.in_flight == 0 and not len(self._thinking):
            self._finished.set()


def _latencies(exchange: Exchange, *, open_loop: bool) -> tuple[float, float | None, float] | None:
    """TTFT, TPOT and E2E in ms as in docs/metrics.md; None for an answer that failed or said nothing."""
    answer = decode(Received(exchange))
    if answer.status != OK or not answer.deltas:
        return None
    start_ns = exchange.intended_ns if open_loop else exchange.sent_ns
    first_ns, last_ns = answer.deltas[0].t_ns, answer.deltas[-1].t_ns
    after_first = (answer.completion_tokens or 0) - (answer.deltas[0].tokens or 1)
    tpot_ms = (last_ns - first_ns) / after_first / 1e6 if after_first > 0 else None
    return (first_ns - start_ns) / 1e6, tpot_ms, (last_ns - start_ns) / 1e6


def need_files(connections: int) -> None:
    """Raise our own limit on open files as far as it goes: each connection is one. BenchError where that is too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard != resource.RLIM_INFINITY else max(soft, connections + OTHER_FILES)
    if most < connections + OTHER_FILES:
        raise BenchError(
            f"field `arrivals.streams`: {connections} connections at once, but this process may open {most} files: raise `ulimit -Hn` or use more --workers"
        )
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def peak_rss_mb(status: TextIO) -> float:
    """MiB from VmHWM in /proc/self/status: unlike getrusage, it does not remember the parent that forked us.

    The file is open from the start: a run may have used up all it may open.
    """
    status.seek(0)
    return int(status.read().partition("VmHWM:")[2].split()[0]) / 1024
