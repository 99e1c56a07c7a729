"""Which plots a record gets, drawn from its own figures and samples (logic over stored files)."""

from collections.abc import Callable

from bench.report.charts import Chart, distributions
from bench.report.series import course
from bench.results.files import REQUESTS, TOKENS
from bench.results.samples import read_samples
from stack.evidence import StoredRecord
from stack.runtime.svg import Bar, bars


def charts(stored: StoredRecord) -> tuple[Chart, ...]:
    """The plots of a record; none for kinds that are best read as a table."""
    draw = _BY_KIND.get(stored.record.kind)
    return draw(stored) if draw else ()


def _bench(stored: StoredRecord) -> tuple[Chart, ...]:
    """Distributions over the measured requests that succeeded, as docs/metrics.md defines them."""
    if stored.record.artifact(REQUESTS) is None or stored.record.artifact(TOKENS) is None:
        return ()
    samples = read_samples(stored.artifact_path(REQUESTS), stored.artifact_path(TOKENS))
    return distributions(course(samples), open_loop=samples.run.workload.open_loop)


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
