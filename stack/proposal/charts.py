"""Which plots a record gets, drawn from its own figures and samples (logic over stored files)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from bench.results.decode import OK
from bench.results.samples import REQUESTS, TOKENS, read_samples
from stack.evidence import StoredRecord
from stack.proposal.svg import Bar, bars, ecdf


@dataclass(frozen=True)
class Chart:
    """A plot with its caption."""

    title: str
    svg: Markup
    caption: str = ""


def charts(stored: StoredRecord) -> tuple[Chart, ...]:
    """The plots of a record; none for kinds that are best read as a table."""
    draw = _BY_KIND.get(stored.record.kind)
    return draw(stored) if draw else ()


def _bench(stored: StoredRecord) -> tuple[Chart, ...]:
    """Distributions over the measured requests that succeeded, as docs/metrics.md defines them."""
    if stored.record.artifact(REQUESTS) is None or stored.record.artifact(TOKENS) is None:
        return ()
    samples = read_samples(stored.artifact_path(REQUESTS), stored.artifact_path(TOKENS))
    rows = [row for row in samples.requests.to_pylist() if row["phase"] == "measured" and row["status"] == OK and row["first_content_ns"] is not None]
    start = "intended_ns" if samples.run.workload.open_loop else "sent_ns"
    since = "the moment it was due" if samples.run.workload.open_loop else "the moment it was sent"
    request, stamp = samples.tokens["request"].to_numpy(), samples.tokens["t_ns"].to_numpy()
    same = (request[1:] == request[:-1]) & np.isin(request[1:], [row["request"] for row in rows])
    distributions = (
        ("Time to first token", "ttft_ms", [(row["first_content_ns"] - row[start]) / 1e6 for row in rows], f"from {since}"),
        ("Time to the last token", "e2e_ms", [(row["last_content_ns"] - row[start]) / 1e6 for row in rows], f"from {since}"),
        ("Gap between chunks", "chunk_gap_ms", (np.diff(stamp)[same] / 1e6).tolist(), "within one answer"),
    )
    return tuple(
        Chart(
            title, ecdf(values, title=f"{title}: share of {len(values)} values at or below"), _percentiles(stored, metric) + f"{len(values):,} values, {what}"
        )
        for title, metric, values, what in distributions
        if values
    )


def _percentiles(stored: StoredRecord, metric: str) -> str:
    """The record's own percentiles of a metric in words."""
    found = {figure.name.rpartition(f".{metric}.")[2]: figure.value for figure in stored.record.figures if f".{metric}." in figure.name}
    return "".join(f"{name} {value:.4g} ms, " for name in ("p50", "p90", "p99") if isinstance(value := found.get(name), int | float))


def _labeling(stored: StoredRecord) -> tuple[Chart, ...]:
    """Agreement of each labeler with the human labels, beside guessing the most frequent one."""
    prefix = "labeling.accuracy."
    shares = {figure.name.removeprefix(prefix): figure.value for figure in stored.record.figures if figure.name.startswith(prefix)}
    rows = [
        Bar(name.replace("_", " "), value, _with_interval(value, shares.get(f"{name}.low"), shares.get(f"{name}.high")))
        for name, value in shares.items()
        if isinstance(value, float) and not name.endswith((".low", ".high"))
    ]
    return (
        (Chart("Agreement with the human labels", bars(rows, title="Agreement with the human labels", end=1.0), "In brackets, the 95 % interval."),)
        if rows
        else ()
    )


def _with_interval(value: float, low: object, high: object) -> str:
    interval = f" ({low:.1%} to {high:.1%})" if isinstance(low, float) and isinstance(high, float) else ""
    return f"{value:.1%}{interval}"


def _audit(stored: StoredRecord) -> tuple[Chart, ...]:
    """How the controls came out, and which ones did not pass."""
    from stack.security.evidence import ARTIFACT
    from stack.security.report import AuditReport, Status

    if stored.record.artifact(ARTIFACT) is None:
        return ()
    report = AuditReport.model_validate_json(stored.artifact_path(ARTIFACT).read_bytes())
    words = {
        Status.PASS: ("passed", "good"),
        Status.FAIL: ("failed", "bad"),
        Status.UNKNOWN: ("unknown", "warn"),
        Status.NOT_APPLICABLE: ("not applicable", "plain"),
    }
    rows = [Bar(word, count, str(count), tone) for status, (word, tone) in words.items() if (count := report.counts[status])]
    unsettled = [
        f"{result.control} {words[result.status][0]}: {result.title} ({result.observed})"
        for status in (Status.FAIL, Status.UNKNOWN)
        for result in report.with_status(status)
    ]
    caption = ". ".join(unsettled) if unsettled else "Every control that applies was checked and passed."
    return (Chart("Controls by outcome", bars(rows, title="Controls by outcome", end=len(report.results)), caption),)


def _demo(stored: StoredRecord) -> tuple[Chart, ...]:
    """Where the time of a run went."""
    steps = {figure.name.removeprefix("demo.step."): figure.value for figure in stored.record.figures if figure.name.startswith("demo.step.")}
    rows = [Bar(name.removesuffix("_s").replace("_", " "), value, f"{value:.1f} s") for name, value in steps.items() if isinstance(value, float)]
    return (Chart("Time of each step", bars(rows, title="Time of each step")),) if rows else ()


_BY_KIND: dict[str, Callable[[StoredRecord], tuple[Chart, ...]]] = {"bench": _bench, "labeling": _labeling, "audit": _audit, "demo": _demo}
