"""Reads what a run left and writes `report.html` beside it (edge)."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from bench.errors import BenchError
from bench.report.curves import Run
from bench.report.page import overview_page, run_page
from bench.results.files import REQUESTS, SUMMARY, TOKENS
from bench.results.metrics import summarize
from bench.results.reconcile import Finding, reconcile
from bench.results.samples import Samples, read_samples
from bench.results.summary import Summary
from stack.runtime.files import write_atomic

REPORT = "report.html"
CURVE = "curve.json"
"""What `bench capacity` leaves beside the runs of a sweep."""


def write_report(out: Path) -> Path:
    """Draw the run in `out` to its report.html. Never raises on account of the page: a fault of it is a line on stderr."""
    try:
        return report_run(out).path
    except Exception as error:
        sys.stderr.write(f"note: no {REPORT}: {type(error).__name__}: {' '.join(str(error).split())}\n")
    return out / REPORT


@dataclass(frozen=True)
class Written:
    """A page, and what its files say against one another."""

    path: Path
    findings: tuple[str, ...] = ()


def report_run(out: Path, findings: Sequence[Finding] = ()) -> Written:
    """The page of the run in `out`. BenchError when its samples cannot be read."""
    try:
        samples = read_samples(out / REQUESTS, out / TOKENS)
    except BenchError as error:
        raise BenchError(f"{out}: {error}") from None
    summary = _summary(out, samples)
    write_atomic(out / REPORT, run_page(samples, summary, folder=out.name, findings=findings))
    return Written(out / REPORT, tuple(str(finding) for finding in findings))


def report_folder(place: Path) -> list[Written]:
    """Pages for the run in `place`, or for each run below it and one over all of them; checks the files of each first.

    BenchError when there is no run.
    """
    folders = find_runs(place)
    written = [report_run(folder, reconcile(folder)) for folder in folders]
    if folders != [place]:
        runs = []
        for folder in folders:
            name = folder.relative_to(place).as_posix()
            runs.append(Run(name, _summary(folder), f"{name}/{REPORT}"))
        write_atomic(place / REPORT, overview_page(runs, title=place.resolve().name, devices=_devices(place)))
        written.append(Written(place / REPORT))
    return written


def find_runs(place: Path) -> list[Path]:
    """`place` itself when it is the folder of a run, else every such folder below it. BenchError when there is none."""
    if not place.is_dir():
        raise BenchError(f"{place}: no such folder")
    folders = [place] if _is_run(place) else sorted({path.parent for name in (REQUESTS, SUMMARY) for path in place.rglob(name) if _is_run(path.parent)})
    if not folders:
        raise BenchError(f"{place}: holds no run: no {REQUESTS} in it or below it")
    return folders


def _devices(place: Path) -> int | None:
    """How many devices did the work, where a capacity sweep noted it."""
    try:
        noted = json.loads((place / CURVE).read_bytes()).get("devices")
    except (OSError, ValueError, AttributeError):
        return None
    return noted if isinstance(noted, int) and noted > 0 else None


def _is_run(place: Path) -> bool:
    """A folder that a run, or what is left of one, stands in."""
    return (place / REQUESTS).is_file() or ((place / SUMMARY).is_file() and (place / TOKENS).is_file())


def _summary(out: Path, samples: Samples | None = None) -> Summary:
    """As published; worked out from the samples where it is missing or cannot be read (an interrupted run)."""
    try:
        return Summary.model_validate_json((out / SUMMARY).read_bytes())
    except (OSError, ValidationError):
        return summarize(samples or read_samples(out / REQUESTS, out / TOKENS))
