"""Drives the reference server at each load and keeps both sides' records (edge)."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.calibration.models import Calibration, CalibrationPoint
from bench.calibration.plan import FULL, QUICK, Level, levels_of, ready_levels, verdict
from bench.calibration.truth import TRUTH, Setting, compare, keep_truth, read_truth
from bench.load.crew import Crew
from bench.results.files import REQUESTS, TOKENS
from bench.results.samples import read_samples
from bench.run import RunOptions, Watching, run_workload
from bench.workload import Workload
from stack.evidence.provenance import host, tool
from stack.evidence.record import now
from stack.runtime.files import write_atomic
from stack.runtime.process import Child
from stack.runtime.progress import Reporter

RESULT = "calibration.json"
READY_S, GRACE_S = 30.0, 5.0


@dataclass(frozen=True)
class CalibrationOptions:
    """How the reference server answers, and how long each load lasts; None: 10 s, quick 3 s."""

    ttft_ms: float = 100.0
    token_interval_ms: float = 10.0
    duration_s: float | None = None
    quick: bool = False
    workers: int = 1

    @property
    def length_s(self) -> float:
        return self.duration_s or (3.0 if self.quick else 10.0)


def calibrate(workload: Workload | None, *, out: Path, options: CalibrationOptions | None = None, seed: int | None = None, reporter: Reporter) -> Calibration:
    """The error curve of this load generator on this host, for a planned load or the ready ones.

    Each load has a folder in `out` with the run's samples and the server's truth.parquet; calibration.json holds the result. BenchError when
    the load cannot be scaled or no request succeeded.
    """
    chosen = options or CalibrationOptions()
    ready = ready_levels(QUICK if chosen.quick else FULL, duration_s=chosen.length_s)
    levels = ready if workload is None else levels_of(workload, duration_s=chosen.length_s)
    points: list[CalibrationPoint] = []
    interrupted = False
    for level in levels:
        point = _measure(level, out / level.name, chosen, seed=seed, reporter=reporter)
        if point is None:
            interrupted = True
            break
        points.append(point)
        reporter.say(f"{level.name}: ttft {point.ttft_error_ms.mean:+.2f} ms on average, {'; '.join(point.faults) or 'resolved'}")
    result = Calibration(
        state="interrupted" if interrupted else "complete",
        created_at=now(),
        tool=tool(),
        host=host(),
        workers=chosen.workers,
        workload=workload,
        ttft_ms=chosen.ttft_ms,
        token_interval_ms=chosen.token_interval_ms,
        duration_s=chosen.length_s,
        points=tuple(points),
        verdict=verdict(points),
    )
    write_atomic(out / RESULT, result.model_dump_json(indent=2) + "\n")
    return result


def setting_of(level: Level, options: CalibrationOptions) -> Setting:
    return Setting(level.name, level.loop, level.load, level.share, options.ttft_ms, options.token_interval_ms)


def _measure(level: Level, folder: Path, options: CalibrationOptions, *, seed: int | None, reporter: Reporter) -> CalibrationPoint | None:
    """One load against a server of its own; None when it was interrupted."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / ".truth.jsonl"
    log.unlink(missing_ok=True)
    try:
        with _server(options, log=log, output=folder / "server.log") as url:
            how = RunOptions(crew=Crew(workers=options.workers), watching=Watching(on=False), report=False)
            summary = run_workload(level.workload, url=url, out=folder, seed=seed, reporter=reporter, options=how)
        if summary.state == "interrupted":
            return None
        keep_truth(log, folder / TRUTH)
    finally:
        log.unlink(missing_ok=True)
    return compare(read_samples(folder / REQUESTS, folder / TOKENS), read_truth(folder / TRUTH), setting_of(level, options))


@contextmanager
def _server(options: CalibrationOptions, *, log: Path, output: Path) -> Iterator[str]:
    """The reference server in a process of its own; yields its URL."""
    output.unlink(missing_ok=True)
    how = ["--ttft-ms", str(options.ttft_ms), "--token-interval-ms", str(options.token_interval_ms), "--log", str(log)]
    child = Child.start("reference server", [sys.executable, "-m", "bench.mock", *how], log=output, grace_s=GRACE_S)
    try:
        child.wait_ready(lambda: output.read_text().endswith("\n"), timeout_s=READY_S)
        yield output.read_text().split()[-1]
    finally:
        child.stop()
