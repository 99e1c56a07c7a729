"""Whether run B is better or worse than run A, and how sure that is; everything is worked out from the samples again.

Sides are folders of one run, or of repeats (run-1, run-2, ...). With repeats the unit is the run: Welch's t interval of the
difference of means over the runs. With one run a side: block bootstrap for percentiles, Welch over batch means for output,
Newcombe for goodput. A figure is better or worse when the whole interval lies more than 1 % of A away from no difference. The
error of the whole answer is kept to 5 % by splitting it evenly over the figures (Bonferroni).
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from bench.errors import BenchError
from bench.frozen import Frozen
from bench.repeats import repeat_folders
from bench.results.columns import Floats, View, known
from bench.results.files import REQUESTS, TOKENS
from bench.results.headline import GOODPUT, HEADLINES, OUTPUT, Headline
from bench.results.metrics import summarize
from bench.results.samples import Samples, read_samples
from bench.results.steady import batches_in, output_batches
from bench.results.summary import Interval, Summary
from bench.statistics.bootstrap import central_interval, resampled_percentiles
from bench.statistics.means import difference_interval
from bench.statistics.percentiles import interval_floor, mean
from bench.statistics.proportion import proportion_difference_interval
from bench.workload.files import PATHS

CONFIDENCE = 0.95
MARGIN = 0.01
"""Differences up to this share of A are nobody's gain or loss, however sure they are."""

Verdict = Literal["better", "worse", "cannot tell"]


class Side(Frozen):
    """What was compared."""

    folder: str
    runs: int
    seeds: tuple[int, ...]
    url: str
    valid: bool


class Compared(Frozen):
    """One figure of both sides."""

    name: str
    unit: str
    a: float | None
    b: float | None
    difference: float | None = Field(description="b - a")
    interval: Interval | None = Field(description="Of the difference, at `confidence` of the comparison each; null when it cannot be said, see `note`")
    relative: float | None = Field(description="difference / a")
    verdict: Verdict
    method: str
    note: str = ""


class Comparison(Frozen):
    """B against A; `worse` if any figure is, else `better` if any is."""

    verdict: Verdict
    a: Side
    b: Side
    confidence: float = Field(description="Of each interval, so that all of them hold together with 95 %")
    figures: tuple[Compared, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """One run, read back."""

    samples: Samples

    @cached_property
    def summary(self) -> Summary:
        return summarize(self.samples)

    @cached_property
    def view(self) -> View:
        return View.of(self.samples)

    def series_ms(self, metric: str) -> Floats:
        """The values behind a metric, in the order in which requests were sent."""
        columns, view = self.view.columns, self.view
        series = {"ttft_ms": (columns.first - view.start) / 1e6, "tpot_ms": columns.tpot_ms(), "e2e_ms": (columns.last - view.start) / 1e6}
        return known(series[metric][view.ok])


def compare(a: Path, b: Path, *, allow_invalid: bool = False) -> Comparison:
    """Compare two folders; BenchError, which says what, when they cannot be compared."""
    of_a, of_b = _read(a), _read(b)
    _refuse_incomparable(of_a + of_b, [str(a)] * len(of_a) + [str(b)] * len(of_b))
    if (len(of_a) == 1) != (len(of_b) == 1):
        raise BenchError(f"{a} holds {len(of_a)} and {b} {len(of_b)} runs: give one run or several (bench run --repeats) on both sides")
    sides = _side(a, of_a), _side(b, of_b)
    for side, runs in zip(sides, (of_a, of_b), strict=True):
        reasons = [reason for run in runs for reason in run.summary.invalid_reasons]
        if not side.valid and not allow_invalid:
            raise BenchError(f"{side.folder}: the run is INVALID ({reasons[0]}): measure again, or pass --allow-invalid")
    headlines = [headline for headline in HEADLINES if headline is not GOODPUT or of_a[0].samples.run.workload.slo is not None]
    confidence = 1 - (1 - CONFIDENCE) / len(headlines)
    figures = tuple(_compare(headline, of_a, of_b, confidence) for headline in headlines)
    verdicts = {figure.verdict for figure in figures}
    notes = [f"{side.folder}: INVALID, compared all the same" for side in sides if not side.valid]
    if len(of_a) == 1:
        notes.append("one run a side: the intervals do not hold what differs from run to run; --repeats does")
    return Comparison(
        verdict="worse" if "worse" in verdicts else "better" if "better" in verdicts else "cannot tell",
        a=sides[0],
        b=sides[1],
        confidence=confidence,
        figures=figures,
        notes=tuple(notes),
    )


def _read(folder: Path) -> list[Run]:
    folders = [folder] if (folder / REQUESTS).is_file() else repeat_folders(folder)
    if not folders:
        raise BenchError(f"{folder}: neither a run ({REQUESTS}) nor repeats of one (run-1, run-2, ...)")
    return [Run(read_samples(each / REQUESTS, each / TOKENS)) for each in folders]


def _side(folder: Path, runs: list[Run]) -> Side:
    return Side(
        folder=str(folder),
        runs=len(runs),
        seeds=tuple(run.samples.run.seed for run in runs),
        url=runs[0].samples.run.url,
        valid=all(run.summary.valid for run in runs),
    )


def _refuse_incomparable(runs: list[Run], folders: list[str]) -> None:
    first = _definition(runs[0].samples)
    for run, folder in zip(runs[1:], folders[1:], strict=True):
        other = _definition(run.samples)
        differing = [field for field in sorted(first.keys() | other.keys()) if first.get(field) != other.get(field)]
        if differing:
            told = "; ".join(f"{field}: {first.get(field)!r} and {other.get(field)!r}" for field in differing[:5])
            raise BenchError(f"{folders[0]} and {folder} are not runs of the same kind: {told}")


def _definition(samples: Samples) -> dict[str, Any]:
    """All that must be equal, by dotted name: the workload (not its name; files by their names and contents) and the versions of the definitions."""
    run = samples.run
    workload = run.workload.model_dump(mode="json", exclude={"name"}, exclude_none=True)
    for section, field in PATHS:
        if isinstance(workload.get(section), dict) and field in workload[section]:
            workload[section][field] = Path(workload[section][field]).name
    return {
        "schema_version": run.schema_version,
        "metrics_version": run.metrics_version,
        **_flat(workload),
        **{f"{name} (content)": digest for name, digest in run.inputs.items()},
    }


def _flat(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in document.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _compare(headline: Headline, a: list[Run], b: list[Run], confidence: float) -> Compared:
    values_a, values_b = ([headline.read(run.summary) for run in runs] for runs in (a, b))
    known_a, known_b = ([value for value in values if value is not None] for values in (values_a, values_b))
    if len(known_a) < len(values_a) or len(known_b) < len(values_b):
        return _judged(headline, None, None, None, method="", note="not measured on both sides")
    if len(a) > 1:
        interval, method, note = difference_interval(known_a, known_b, confidence=confidence), "Welch's t over repeats", ""
    else:
        interval, method, note = _within_runs(headline, a[0], b[0], confidence)
    return _judged(headline, mean(known_a), mean(known_b), interval, method=method, note=note)


def _judged(headline: Headline, a: float | None, b: float | None, interval: Interval | None, *, method: str, note: str) -> Compared:
    """Better or worse only when the whole interval lies on one side, further from no difference than the margin."""
    margin = MARGIN * abs(a or 0.0)
    rose, fell = interval is not None and interval[0] > margin, interval is not None and interval[1] < -margin
    verdict: Verdict = "cannot tell" if not rose and not fell else "better" if rose == (headline.better == "higher") else "worse"
    difference = None if a is None or b is None else b - a
    relative = difference / a if a and difference is not None else None
    return Compared(
        name=headline.name, unit=headline.unit, a=a, b=b, difference=difference, interval=interval, relative=relative, verdict=verdict, method=method, note=note
    )


def _within_runs(headline: Headline, a: Run, b: Run, confidence: float) -> tuple[Interval | None, str, str]:
    """Interval of the difference of two single runs, by what method, and why there is none."""
    if headline is OUTPUT:
        interval = _output_interval(a, b, confidence)
        return interval, "Welch's t over batch means within the runs", "" if interval else "too few answers in the window for batch means"
    if headline is GOODPUT:
        met = [_goodput_counts(run) for run in (a, b)]
        return proportion_difference_interval(*met, confidence=confidence), "Newcombe's interval of two proportions", ""
    series = [run.series_ms(headline.metric) for run in (a, b)]
    method, floor = "moving-block bootstrap within the runs", interval_floor(headline.share, confidence=confidence)
    if min(map(len, series)) < floor:
        return None, method, f"too few samples: {min(map(len, series))} of the {floor} it takes"
    resampled = [resampled_percentiles(values, [headline.share], seed=place)[:, 0] for place, values in enumerate(series)]
    return central_interval(resampled[1] - resampled[0], confidence=confidence), method, ""


def _output_interval(a: Run, b: Run, confidence: float) -> Interval | None:
    rates = []
    for run in (a, b):
        window = run.summary.window
        number = None if window is None else batches_in(run.view, window)
        rates.append([] if window is None or number is None else output_batches(run.view, window, number))
    return difference_interval(rates[0], rates[1], confidence=confidence)


def _goodput_counts(run: Run) -> tuple[int, int]:
    goodput = run.summary.goodput
    return (goodput.good if goodput else 0, int((run.view.ok | run.view.failed).sum()))
