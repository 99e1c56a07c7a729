"""The sweep: asks the planner, runs the probe, writes what is known after each (edge)."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench.capacity.conclude import bracket_of, capacity_of, curve_of, tried
from bench.capacity.curve import curve_csv, levelled_off
from bench.capacity.level import OUT_OF_TIME, ServiceLevel
from bench.capacity.models import CapacityResult, ProbeResult, Stopped
from bench.capacity.plan import ProbeSpec, Sizes, check_template, closed_probe, confirm_words, estimate_probe, open_probe
from bench.capacity.probes import SweepTarget, finished, open_sweep, probe
from bench.capacity.search import Probe, SearchPlan, bracket, next_step, rounded
from bench.errors import BenchError
from bench.workload import Workload
from stack.evidence.provenance import host, tool
from stack.evidence.record import now
from stack.runtime.files import write_atomic
from stack.runtime.progress import Reporter

RESULT, CURVE_JSON, CURVE_CSV = "capacity.json", "curve.json", "curve.csv"
INTERRUPTED = "interrupted: the same command goes on from here"
TRIES = 2
"""A probe in which the load generator could not keep up is run once more: another process may have held the processor for a moment."""


@dataclass(frozen=True)
class SweepOptions:
    """How a sweep goes; loads are requests per second, or streams in a closed one."""

    precision: float = 0.1
    start: float | None = None
    highest: float = 100_000.0
    budget_s: float | None = 1200.0
    devices: int = 1
    sizes: Sizes = field(default_factory=Sizes)


class _EndedError(Exception):
    """The sweep goes no further."""

    def __init__(self, stopped: Stopped, why: str) -> None:
        super().__init__(why)
        self.stopped: Stopped = stopped
        self.why = why


def find_capacity(
    workload: Workload,
    level: ServiceLevel,
    *,
    target: SweepTarget,
    out: Path,
    options: SweepOptions | None = None,
    reporter: Reporter,
) -> CapacityResult:
    """The highest arrival rate at which `url` holds the level; every probe, capacity.json, curve.json and curve.csv go into `out`.

    The same call on the same folder takes up a sweep that was interrupted. BenchError for a workload whose rate cannot be varied, a
    folder with another sweep, an endpoint that cannot be used.
    """
    check_template(workload, closed=False)
    sweep = _Sweep(Job(workload, level, "open"), open_sweep(out, workload, target, level=level, mode="open"), out, options or SweepOptions(), reporter)
    return sweep.run(sweep.search)


def sweep_streams(
    workload: Workload,
    level: ServiceLevel | None,
    *,
    target: SweepTarget,
    out: Path,
    options: SweepOptions | None = None,
    reporter: Reporter,
) -> CapacityResult:
    """The latency-throughput curve: 1, 2, 4, ... streams until twice the load brings less than 10 % more; else as `find_capacity`."""
    check_template(workload, closed=True)
    sweep = _Sweep(Job(workload, level, "closed"), open_sweep(out, workload, target, level=level, mode="closed"), out, options or SweepOptions(), reporter)
    return sweep.run(sweep.climb)


@dataclass(frozen=True)
class Job:
    """What a sweep varies, and what must hold."""

    workload: Workload
    level: ServiceLevel | None
    mode: Literal["open", "closed"]


class _Sweep:
    """The probes made so far and what they say; written anew after each."""

    def __init__(self, job: Job, target: SweepTarget, out: Path, options: SweepOptions, reporter: Reporter) -> None:
        self._job, self._workload, self._level = job, job.workload, job.level
        self._target, self._out, self._options, self._reporter = target, out, options, reporter
        self._probes: list[ProbeResult] = []
        self._began_s = time.monotonic()

    def run(self, course: Callable[[], tuple[Stopped, str]]) -> CapacityResult:
        """Follow `course` to its end; whatever ends it, what was found is written."""
        try:
            stopped, why = course()
        except _EndedError as ended:
            stopped, why = ended.stopped, ended.why
        except KeyboardInterrupt:
            stopped, why = "interrupted", INTERRUPTED
        return self._write(stopped, why)

    def search(self) -> tuple[Stopped, str]:
        level = self._known_level()
        start = self._options.start or self._estimate()
        plan = SearchPlan(start=start, precision=self._options.precision, highest=self._options.highest)
        self._reporter.say(f"{level}; from {start:g} requests/s; " + confirm_words(self._workload, level, rounded(start), sizes=self._options.sizes))
        while isinstance(step := next_step(tried(self._probes), plan), Probe):
            if step.confirm:
                self._reporter.say(confirm_words(self._workload, level, step.rate, sizes=self._options.sizes))
            self._make(open_probe(self._workload, level, step.rate, confirm=step.confirm, sizes=self._options.sizes))
        if step.why == "found":
            return "found", f"confirmed at {step.rate:g} requests/s; the next rate tried, {bracket(tried(self._probes)).high:g}, did not hold"
        if step.why == "ceiling":
            return "ceiling", f"the level still holds at {step.rate:g} requests/s, the highest rate allowed: the capacity is at least that"
        return "floor", f"the level does not hold even at {plan.lowest:g} requests/s"

    def climb(self) -> tuple[Stopped, str]:
        streams, rates = max(1, int(self._options.start or 1)), list[float]()
        while True:
            made = self._make(closed_probe(self._workload, streams, sizes=self._options.sizes))
            rates.append(made.point.output_tokens_per_s or made.point.requests_per_s or 0.0)
            if levelled_off(rates):
                return "levelled_off", f"{streams} streams gave less than 10 % more than fewer had"
            if streams >= self._options.highest:
                return "ceiling", f"{streams} streams are the most allowed, and throughput still grew"
            streams = min(streams * 2, int(self._options.highest))

    def _known_level(self) -> ServiceLevel:
        if self._level is None:
            raise BenchError("field `--slo`: give the limits to hold, as in ttft_p99=500ms,tpot_p99=50ms")
        return self._level

    def _estimate(self) -> float:
        made = self._make(estimate_probe(self._workload))
        if not made.point.requests_per_s:
            raise BenchError(f"{self._target.url}: not one request of a single stream succeeded: see {self._out / made.name}")
        return rounded(made.point.requests_per_s)

    def _make(self, spec: ProbeSpec) -> ProbeResult:
        for left in reversed(range(TRIES)):
            self._afford(spec)
            deadline_s = None if self._options.budget_s is None else self._began_s + self._options.budget_s
            made = probe(spec, self._out, self._target, level=self._level, devices=self._options.devices, deadline_s=deadline_s, reporter=self._reporter)
            self._tell(made)
            if made.state == "interrupted":
                self._probes.append(made)
                raise _EndedError("interrupted", INTERRUPTED)
            if made.valid or not left:
                break
        self._probes.append(made)
        if not made.valid:
            raise _EndedError("client_bound", f"{made.name} is INVALID and says nothing of the server: {'; '.join(made.reasons)}")
        if made.unfinished:
            raise _EndedError("budget" if made.reason == OUT_OF_TIME else "interrupted", f"{made.name} was cut short: {made.reason or made.state}")
        self._write("interrupted", INTERRUPTED)
        return made

    def _afford(self, spec: ProbeSpec) -> None:
        budget_s = self._options.budget_s
        spent_s = time.monotonic() - self._began_s
        if budget_s is not None and not finished(spec, self._out) and spent_s + (spec.expected_s or 0.0) > budget_s:
            needs = f" takes {spec.expected_s:.0f} s more" if spec.expected_s else ""
            raise _EndedError("budget", f"{spec.name}{needs}, and of the budget of {budget_s:.0f} s {spent_s:.0f} s are used")

    def _tell(self, made: ProbeResult) -> None:
        unit = "requests/s" if made.rate is not None else "streams"
        verdict = made.judgement.outcome if made.judgement else "valid" if made.valid else "invalid"
        again = " (from an earlier call)" if made.reused else ""
        self._reporter.say(f"{made.kind} at {made.load:g} {unit}{again}: {verdict}" + (": " + "; ".join(made.reasons) if made.reasons else ""))

    def _write(self, stopped: Stopped, why: str) -> CapacityResult:
        result = CapacityResult(
            mode=self._job.mode,
            workload=self._workload,
            url=self._target.url,
            seed=self._target.seed or 0,
            level=self._level,
            precision=self._options.precision,
            devices=self._options.devices,
            highest=self._options.highest,
            capacity_requests_per_s=capacity_of(self._probes, precision=self._options.precision, highest=self._options.highest),
            bracket=bracket_of(self._probes),
            stopped=stopped,
            why=why,
            probes=tuple(self._probes),
            created_at=now(),
            elapsed_s=time.monotonic() - self._began_s,
            tool=tool(),
            host=host(),
        )
        curve = curve_of(result)
        write_atomic(self._out / CURVE_JSON, curve.model_dump_json(indent=2) + "\n")
        write_atomic(self._out / CURVE_CSV, curve_csv(curve.points))
        write_atomic(self._out / RESULT, result.model_dump_json(indent=2) + "\n")
        return result
