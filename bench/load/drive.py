"""The load of a run, by one process or by several (edge)."""

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import uvloop

from bench.load.endpoint import Endpoint
from bench.load.generator import LoadRun
from bench.load.precision import PrecisionRule
from bench.load.progress import Progress
from bench.load.requests import Job
from bench.load.spool import Spool, SpoolFile
from bench.load.undisturbed import undisturbed
from bench.results.summary import ClientHealth, State, WorkerInfo

StopWhen = Callable[[Progress], str | None]
"""Called 4 times a second; what it returns ends the run, as its reason."""


@dataclass(frozen=True)
class LoadReport:
    """When the load began, how it ended and why, what each worker noticed of itself, and the spools they left."""

    started_ns: int
    state: State
    reason: str
    workers: tuple[WorkerInfo, ...]
    spools: tuple[SpoolFile, ...]

    @property
    def health(self) -> ClientHealth:
        """CPU seconds added up, of the rest the worst."""
        known = [worker.health for worker in self.workers if worker.health is not None]

        def worst(name: str) -> float | None:
            return max((value for each in known if (value := getattr(each, name)) is not None), default=None)

        return ClientHealth(
            cpu_s=sum(each.cpu_s for each in known),
            cpu_share=worst("cpu_share") or 0.0,
            loop_lag_ms_mean=worst("loop_lag_ms_mean"),
            loop_lag_ms_p99=worst("loop_lag_ms_p99"),
            start_s=worst("start_s") or 0.0,
            peak_rss_mb=worst("peak_rss_mb") or 0.0,
        )


class Watcher(Protocol):
    """Is told how the load goes, from inside the event loop: it must be quick."""

    def __call__(self, progress: Progress) -> None: ...


def drive(job: Job, endpoint: Endpoint, *, spool: Path, watch: Watcher, stop_when: StopWhen | None, called_ns: int) -> LoadReport:
    """Run the whole load in this process. Ctrl-C and SIGTERM end it and keep what was measured."""
    out = Spool(spool)
    try:
        with undisturbed(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
            return loop.run(_drive(job, endpoint, out, watch=watch, stop_when=stop_when, called_ns=called_ns))
    finally:
        with contextlib.suppress(OSError):  # a full disk has been told of already
            out.close()


async def _drive(job: Job, endpoint: Endpoint, spool: Spool, *, watch: Watcher, stop_when: StopWhen | None, called_ns: int) -> LoadReport:
    load = LoadRun(job, endpoint, spool)

    precision = job.workload.stop.precision
    rule = None if precision is None else PrecisionRule(precision)

    async def report(progress: Progress) -> None:
        watch(progress)
        if rule is not None and rule.narrow_enough(progress):
            load.finish()
        if stop_when is not None and (reason := stop_when(progress)):
            load.stop("stopped", reason)

    with signals_call(lambda: load.stop("interrupted")):
        await load.prepare()
        done = await load.run(begin_ns=time.monotonic_ns(), called_ns=called_ns, report=report)
    worker = WorkerInfo(worker=0, host=socket.gethostname(), state=done.state, health=done.health)
    return LoadReport(started_ns=done.started_ns, state=done.state, reason=done.reason, workers=(worker,), spools=(SpoolFile(spool.path),))


@contextlib.contextmanager
def signals_call(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM call `stop` in the running loop; the handlers before are put back. Nothing outside the main thread."""
    loop = asyncio.get_running_loop()
    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            loop.add_signal_handler(number, stop)
            before[number] = handler
    except (ValueError, RuntimeError):  # not the main thread
        pass
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
