"""What a reader is told of a run, in words (pure functions over its summary)."""

from dataclasses import dataclass

from bench.report.charts import number
from bench.results.reconcile import PREFIX
from bench.results.summary import Distribution, Intervals, Metric, Metrics, Summary, TailPercentiles
from bench.workload.words import arrivals_in_words, prompts_in_words, stop_in_words

MEANINGS = (
    ("client-bound", "The load generator itself was too slow, so the latencies contain its delay as well as the server's. Send less, or use more workers."),
    ("interrupted", "What was measured before the stop is kept, but it is not the measurement that was planned."),
    ("given up", "None of the first requests was answered. The failures below say why."),
    ("void", "Fast, but wrong or cut short: such answers say nothing of the speed of the model that was asked for."),
    ("warm prefix cache", "The server knew these prompts from before: its first tokens came sooner than they would for anybody else."),
    ("the server answered", "The server had other load than this run's, so its latencies are not those of the load that is told here."),
    ("the server counted", "Something else than this server answered a part of the requests."),
    ("no measured request succeeded", "There is no latency to report. The failures below say why."),
    (PREFIX.strip(" :"), "The files of this run contradict one another. Do not quote any of its figures; measure again."),
)
"""How a reason begins, and what it means to somebody who has not read docs/metrics.md."""

NAMES = {
    "ttft_ms": ("Time to first token", "TTFT: from the moment a request was {since} to its first content"),
    "ttft_from_sent_ms": ("TTFT from the send", "from the moment its bytes were sent"),
    "ttft_visible_ms": ("First visible token", "the same, reasoning left out"),
    "tpot_ms": ("Time per output token", "TPOT: after the first token, one value per request"),
    "chunk_gap_ms": ("Gap between chunks", "all gaps of all answers together"),
    "itl_ms": ("Inter-token latency", "gaps between chunks, where a chunk is a token"),
    "e2e_ms": ("To the last token", "whole answer, from the moment a request was {since}"),
    "e2e_closed_ms": ("To the end of the answer", "the same, to the last byte"),
    "send_lag_ms": ("Send lag", "from due to sent, failed requests included"),
}
"""Metric -> its name for people, and its definition in brief (in full in docs/metrics.md)."""


HOLDS = {True: "holds", False: "does not hold", None: "cannot be told"}


@dataclass(frozen=True)
class Reason:
    """Why a run is not valid, and what that means."""

    text: str
    meaning: str


@dataclass(frozen=True)
class Cell:
    """A figure, and under it what can be said of it beyond this run."""

    label: str
    value: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MetricRow:
    """One metric of the table."""

    field: str
    name: str
    definition: str
    cells: tuple[Cell, ...]
    note: str


def reasons(summary: Summary) -> tuple[Reason, ...]:
    """One for each reason of the verdict."""
    return tuple(Reason(text, next((meaning for start, meaning in MEANINGS if text.startswith(start)), "")) for text in summary.invalid_reasons)


def metric_rows(summary: Summary) -> tuple[MetricRow, ...]:
    """Every metric of the summary, in its order; one without a value is shown with the reason."""
    since = "due" if summary.workload.open_loop else "sent"
    rows = []
    for field in Metrics.model_fields:
        metric: Metric = getattr(summary.metrics, field)
        name, definition = NAMES.get(field, (field, ""))
        rows.append(MetricRow(field, name, definition.format(since=since), _cells(metric), metric.note))
    return tuple(rows)


def _cells(metric: Metric) -> tuple[Cell, ...]:
    judged = [Cell(name, number(getattr(metric, name)), _beyond(metric, name)) for name in Intervals.model_fields]
    return (Cell("n", f"{metric.count:,}"), *judged, Cell("min", number(metric.min)), Cell("max", number(metric.max)))


def _beyond(metric: Metric, name: str) -> tuple[str, ...]:
    """The 95 % interval, and the bound that holds with 99 % confidence or how many more samples it takes."""
    if not metric.count:
        return ()
    interval, bound, missing = getattr(metric.interval_95, name), getattr(metric.certified, name, None), getattr(metric.missing_samples, name, 0)
    certified = f"≤ {number(bound)} certified" if bound is not None else f"{missing:,} more to certify" if missing else ""
    return tuple(filter(None, (interval_in_words(interval), certified)))


def interval_in_words(interval: tuple[float, float] | None) -> str:
    """As in `12.0 to 13.1`; empty for none."""
    return "" if interval is None else f"{number(interval[0])} to {number(interval[1])}"


def asked(summary: Summary) -> tuple[tuple[str, str], ...]:
    """What was to be measured, with what, where and when."""
    workload, tool = summary.workload, summary.tool
    warmup = " and ".join(
        words
        for words in (
            f"{workload.warmup.requests} requests" if workload.warmup.requests else "",
            f"{workload.warmup.duration_s:g} s" if workload.warmup.duration_s else "",
        )
        if words
    )
    built = "".join((f", commit {tool.commit[:12]}" if tool.commit else "", " with local changes" if tool.dirty else ""))
    limits = workload.slo.model_dump(exclude_none=True) if workload.slo else {}
    return (
        ("Workload", workload.name or "without a name"),
        ("Arrivals", f"{arrivals_in_words(workload.arrivals)} ({'open' if workload.open_loop else 'closed'} loop)"),
        ("Prompts", prompts_in_words(workload.prompts)),
        ("Ends after", stop_in_words(workload.stop)),
        ("Warm-up", warmup or "none"),
        ("Service level", ", ".join(f"{name.removesuffix('_ms').upper()} ≤ {value:g} ms" for name, value in limits.items()) or "none named"),
        ("Model", workload.model or "not named"),
        ("Endpoint", summary.url),
        ("Seed", str(summary.seed)),
        ("Started", f"{summary.started_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("Measured by", f"{tool.name} {tool.version}{built}"),
    )


def rates(summary: Summary) -> tuple[tuple[str, str, str], ...]:
    """Rows of the table of rates: name, over the window, over the whole run."""
    names = {
        "requests_per_s": "Requests answered per second",
        "offered_requests_per_s": "Requests offered per second",
        "output_tokens_per_s": "Output tokens per second",
        "input_tokens_per_s": "Input tokens per second",
    }
    window, whole = summary.rates, summary.whole_run_rates
    return tuple((names.get(field, field), number(getattr(window, field)), number(getattr(whole, field))) for field in type(window).model_fields)


def client(summary: Summary) -> tuple[tuple[str, str, str], ...]:
    """What the load generator used and suffered: field, value, its description."""
    found = []
    for field, about in type(summary.client).model_fields.items():
        value = getattr(summary.client, field)
        if isinstance(value, int | float) or value is None:
            found.append((field, number(value), (about.description or "").replace("`", "")))
    return tuple(found)


def by_other_tools(summary: Summary) -> tuple[tuple[str, ...], ...]:
    """Rows of the table of other tools' definitions: tool, metric, figures, formula."""
    rows = []
    for tool, columns in summary.compat:
        for field, about in type(columns).model_fields.items():
            found: Distribution = getattr(columns, field)
            figures = (number(value) for value in (found.mean, found.p50, found.p90, found.p99))
            rows.append((tool, field.removesuffix("_ms"), *figures, about.description or ""))
    return tuple(rows)


def tails(summary: Summary) -> tuple[tuple[str, ...], ...]:
    """Rows of the table in which a failure counts as infinitely slow."""
    shown = (("Time to first token", "ttft_ms"), ("Time per output token", "tpot_ms"), ("To the last token", "e2e_ms"))
    rows = []
    for name, field in shown:
        found: TailPercentiles = getattr(summary.with_failures, field)
        figures = (getattr(found, share) for share in ("p50", "p90", "p95", "p99"))
        rows.append((name, *("∞" if value is None and found.count else number(value) for value in figures)))
    return tuple(rows)


def steadiness(summary: Summary) -> str:
    """Whether the server stayed on one level, in a sentence."""
    steady = summary.steady
    verdict = "Whether the server stayed on one level is not known."
    if steady.steady is not None:
        verdict = "The server stayed on one level." if steady.steady else "The server did not stay on one level."
    return f"{verdict} ({steady.note})" if steady.note else verdict


def quality(summary: Summary) -> tuple[tuple[str, str], ...]:
    """Whether answers were right, and as long as they should be; empty where the workload does not ask."""
    found = []
    accuracy, lengths = (None, None) if summary.quality is None else (summary.quality.accuracy, summary.quality.lengths)
    if accuracy is not None:
        share = "unknown" if accuracy.accuracy is None else f"{accuracy.accuracy:.1%}"
        interval = "" if accuracy.interval_95 is None else f", 95 % interval {accuracy.interval_95[0]:.1%} to {accuracy.interval_95[1]:.1%}"
        counts = f"{accuracy.right} right of {accuracy.asked} asked, {accuracy.failed} failed"
        found.append(("Right answers", f"{share} ({counts}{interval}); floor {accuracy.floor:.1%}: {HOLDS[accuracy.holds]}"))
    if lengths is not None:
        mean = f"{number(lengths.output_tokens_mean)} tokens on average against {number(lengths.reference)}"
        bounds = f"{number(lengths.ratio)} times, {lengths.low:g} to {lengths.high:g} allowed"
        found.append(("Length of answers", f"{mean} ({bounds}): {HOLDS[lengths.holds]}"))
    return tuple(found)
