"""The leader of several workers: it begins, watches and ends the load, wherever they run (edge).

Workers that share this machine's boot share its monotonic clock. Of any other the offset is measured, before and after the load, by the
shortest of a number of round trips (Cristian's method); its error is at most half of that trip.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

from bench.errors import BenchError
from bench.load.drive import LoadReport, StopWhen, Watcher
from bench.load.messages import Done, Failed, Go, Ready, Stop, Tick, read, write
from bench.load.precision import PrecisionRule
from bench.load.progress import NOTHING_YET, Progress, add
from bench.load.spool import SpoolFile
from bench.load.worker import boot_id
from bench.results.summary import State, WorkerInfo
from bench.workload.models import Precision

LEAD_NS = 200_000_000
"""The load begins so long after the last worker is ready, so that each has the word in time."""
START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 30.0
POLL_S = 0.1
ROUND_TRIPS = 20


class LostError(Exception):
    """A worker is gone."""


class Channel(Protocol):
    """A line to one worker. Both calls raise `LostError` once it is gone."""

    def send(self, data: bytes) -> None: ...

    def receive(self) -> list[bytes]: ...

    def clock_ns(self) -> int: ...

    def fetch_spool(self) -> SpoolFile: ...


@dataclass
class _Worker:
    number: int
    channel: Channel
    host: str = ""
    offset_ns: int = 0
    uncertainty_ns: int = 0
    shares_clock: bool = True
    progress: Progress = NOTHING_YET
    done: Done | None = None
    lost: bool = False

    @property
    def over(self) -> bool:
        return self.lost or self.done is not None


class _Course:
    """What the leader wants of the run by now, and whether the workers know."""

    def __init__(self, workers: Sequence[_Worker], rule: PrecisionRule | None, stop_when: StopWhen | None) -> None:
        self._workers = workers
        self._rule = rule
        self._stop_when = stop_when
        self._told = False
        self.state: State = "complete"
        self.reason = ""
        self.deadline: float | None = None

    def end(self, state: State, reason: str) -> None:
        """The first reason stands."""
        if self.state == "complete":
            self.state, self.reason = state, reason

    def judge_workers(self) -> None:
        """One that died, or had to stop, ends the run of all."""
        if lost := [str(worker.number) for worker in self._workers if worker.lost]:
            self.end("worker_lost", f"worker {', '.join(lost)} of {len(self._workers)} died")
        for worker in self._workers:
            if worker.done is not None and worker.done.state != "complete":
                self.end(worker.done.state, worker.done.reason)

    def judge_progress(self, progress: Progress) -> None:
        if self._stop_when is not None and (reason := self._stop_when(progress)):
            self.end("stopped", reason)
        if self._rule is not None and self._rule.narrow_enough(progress):
            self._rule = None
            self._tell(Stop(state="complete", reason=""))

    def tell(self) -> None:
        """Once, when the run is to end early."""
        if self.state != "complete" and not self._told:
            self._told, self.deadline = True, time.monotonic() + END_TIMEOUT_S
            self._tell(Stop(state=self.state, reason=self.reason))

    def _tell(self, message: Stop) -> None:
        for worker in self._workers:
            _tell(worker, message)


def lead(channels: Sequence[Channel], *, watch: Watcher, stop_when: StopWhen | None, precision: Precision | None) -> LoadReport:
    """From ready workers to their spools. A worker that dies ends the run: what it had flushed is kept, and the report names it."""
    workers = [_Worker(number, channel) for number, channel in enumerate(channels)]
    _await_ready(workers)
    for worker in workers:
        _measure_clock(worker)
    begin_ns = time.monotonic_ns() + LEAD_NS
    for worker in workers:
        _tell(worker, Go(begin_ns=begin_ns + worker.offset_ns))
    course = _Course(workers, None if precision is None else PrecisionRule(precision), stop_when)
    with _signals(lambda: course.end("interrupted", "")):
        _watch_over(workers, course, watch)
    for worker in workers:
        _measure_clock(worker)
    return _report(workers, course, begin_ns)


def _await_ready(workers: Sequence[_Worker]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    waiting = list(workers)
    while waiting:
        if time.monotonic() > deadline:
            raise BenchError(f"{len(waiting)} of {len(workers)} workers were not ready within {START_TIMEOUT_S:.0f} s")
        for worker in list(waiting):
            try:
                packets = worker.channel.receive()
            except LostError as error:
                raise BenchError(f"worker {worker.number} ended before it was ready: {error}") from None
            for packet in packets:
                message = read(packet)
                if isinstance(message, Failed):
                    raise BenchError(message.message)
                if isinstance(message, Ready):
                    worker.host, worker.shares_clock = message.host, bool(message.boot_id) and message.boot_id == boot_id()
                    waiting.remove(worker)
        time.sleep(0.01 if waiting else 0)


def _measure_clock(worker: _Worker) -> None:
    """Keeps the better of what it knew and what it measures now."""
    if worker.shares_clock or worker.lost:
        return
    for _ in range(ROUND_TRIPS):
        try:
            asked_ns, there_ns, heard_ns = time.monotonic_ns(), worker.channel.clock_ns(), time.monotonic_ns()
        except LostError:
            return
        half_ns = (heard_ns - asked_ns) // 2
        if not worker.uncertainty_ns or half_ns < worker.uncertainty_ns:
            worker.offset_ns, worker.uncertainty_ns = there_ns - asked_ns - half_ns, max(1, half_ns)


def _watch_over(workers: Sequence[_Worker], course: _Course, watch: Watcher) -> None:
    while not all(worker.over for worker in workers):
        heard = sum([_hear(worker) for worker in workers])
        course.judge_workers()
        if heard:
            progress = reduce(add, (worker.progress for worker in workers))
            watch(progress)
            course.judge_progress(progress)
            for worker in workers:
                worker.progress = _without_news(worker.progress)
        course.tell()
        if course.deadline is not None and time.monotonic() > course.deadline:
            return
        time.sleep(POLL_S)
    course.judge_workers()


def _hear(worker: _Worker) -> bool:
    """Take what a worker says; whether it told how it goes."""
    if worker.over:
        return False
    told = False
    try:
        for packet in worker.channel.receive():
            message = read(packet)
            if isinstance(message, Tick):
                news = Progress(**message.model_dump(exclude={"kind"}))
                worker.progress = add(_without_counts(worker.progress), news)
                told = True
            elif isinstance(message, Done):
                worker.done = message
    except LostError:
        worker.lost = True
    return told


def _without_news(progress: Progress) -> Progress:
    return Progress(progress.elapsed_s, progress.sent, progress.over, progress.failed, progress.in_flight, progress.bytes_read)


def _without_counts(progress: Progress) -> Progress:
    return Progress(0.0, 0, 0, 0, 0, 0, first_byte_ms=progress.first_byte_ms, latencies=progress.latencies)


def _tell(worker: _Worker, message: Go | Stop) -> None:
    if worker.over:
        return
    try:
        worker.channel.send(write(message))
    except LostError:
        worker.lost = True


def _report(workers: Sequence[_Worker], course: _Course, begin_ns: int) -> LoadReport:
    infos = tuple(
        WorkerInfo(
            worker=worker.number,
            host=worker.host,
            clock_offset_ns=worker.offset_ns,
            clock_uncertainty_ns=worker.uncertainty_ns,
            state=worker.done.state if worker.done is not None else "worker_lost",
            health=worker.done.health if worker.done is not None else None,
        )
        for worker in workers
    )
    spools = []
    for worker in workers:
        with contextlib.suppress(LostError):
            spool = worker.channel.fetch_spool()
            spools.append(SpoolFile(spool.path, worker=worker.number, clock_offset_ns=worker.offset_ns))
    return LoadReport(started_ns=begin_ns, state=course.state, reason=course.reason, workers=infos, spools=tuple(spools))


@contextlib.contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM call `stop`; the handlers before are put back. Nothing outside the main thread."""
    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, lambda *_: stop())
    except ValueError:  # not the main thread
        pass
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
