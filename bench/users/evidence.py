"""The evidence record of a run of users, and its recomputation from the rows."""

import re
from pathlib import Path

from pydantic import ValidationError

from bench.errors import BenchError
from bench.users.metrics import summarize
from bench.users.rows import USERS, read_rows
from bench.users.run import SCENARIO, SUMMARY
from bench.users.summary import Attainment, Counts, Latencies, UsersSummary
from stack.evidence import ArtifactSource, EvidenceError, Figure, FigureClass, RecordDraft, StoredRecord

KIND = "users"
STATISTICS = ("mean", "p50", "p90", "p95", "p99")

Value = float | int | str | bool | None


def draft(summary: UsersSummary, out: Path) -> tuple[RecordDraft, list[ArtifactSource]]:
    """What `EvidenceStore.write` takes; `out` is the folder `run_users` wrote."""
    record = RecordDraft(
        kind=KIND,
        title=f"User journeys {summary.scenario.name or 'scenario'} of {summary.scenario.model}",
        config={"scenario": summary.scenario.model_dump(mode="json"), "seed": summary.seed, "url": summary.url},
        figures=tuple(figures(summary)),
        results=summary.model_dump(mode="json", exclude={"scenario", "seed", "url", "tool"}),
    )
    return record, [
        ArtifactSource(USERS, out / USERS, role="samples", media_type="application/vnd.apache.parquet"),
        ArtifactSource(SUMMARY, out / SUMMARY, role="report", media_type="application/json"),
        ArtifactSource(SCENARIO, out / SCENARIO, role="config", media_type="application/yaml"),
    ]


def recompute(stored: StoredRecord) -> list[Figure]:
    """All figures of the record, worked out from the Parquet file alone."""
    try:
        return figures(summarize(read_rows(stored.artifact_path(USERS))))
    except (BenchError, ValidationError) as error:
        raise EvidenceError(f"{stored.path.relative_to(stored.root)}: {' '.join(str(error).split())}") from None


def figures(summary: UsersSummary) -> list[Figure]:
    """Every figure that may be quoted: `users.<scenario>.<field>`, and for each step `users.<scenario>.<class>.<step>.<field>`."""
    prefix = f"users.{_name(summary.scenario.name or 'scenario')}"
    found = [
        _figure(f"{prefix}.valid", summary.valid, kind=FigureClass.COMPUTED, note="; ".join(summary.invalid_reasons)),
        _figure(f"{prefix}.users", summary.users),
        _figure(f"{prefix}.journeys.finished", summary.journeys.finished, note=f"of {summary.journeys.begun} begun"),
        _figure(f"{prefix}.workers.lost", len(summary.lost_workers), note=", ".join(summary.lost_workers)),
        _figure(f"{prefix}.requests_per_s", summary.rates.requests_per_s, unit="/s"),
        _figure(f"{prefix}.output_tokens_per_s", summary.rates.output_tokens_per_s, unit="/s"),
        *_part(prefix, summary.requests, summary.metrics, summary.goodput),
    ]
    for step in summary.steps:
        found += _part(f"{prefix}.{_name(step.user_class)}.{_name(step.step)}", step.requests, step.metrics, step.goodput)
    return found


def _part(prefix: str, requests: Counts, metrics: Latencies, goodput: Attainment | None) -> list[Figure]:
    """The figures that the whole run and each step have."""
    found = [_figure(f"{prefix}.requests.{name}", getattr(requests, name)) for name in ("sent", "ok", "failed", "cancelled")]
    if goodput is not None:
        low, high = goodput.interval_95 or (None, None)
        limits = f"requests that met {goodput.slo.model_dump(exclude_none=True)}"
        found.append(_figure(f"{prefix}.goodput.share", goodput.share, note=limits))
        found += [_figure(f"{prefix}.goodput.share_{end}", value, note="end of Wilson's 95 % interval") for end, value in (("low", low), ("high", high))]
    for name in Latencies.model_fields:
        metric = getattr(metrics, name)
        for statistic in STATISTICS:
            missing = getattr(metric.missing_samples, statistic, 0)
            note = f"{metric.count} samples: {missing} more are needed to certify this percentile" if missing else ""
            found.append(_figure(f"{prefix}.{name}.{statistic}", getattr(metric, statistic), unit="ms", note=note))
            if statistic in type(metric.certified).model_fields:
                found.append(_figure(f"{prefix}.{name}.certified.{statistic}", getattr(metric.certified, statistic), unit="ms", note=note))
    return found


def _figure(name: str, value: Value, *, unit: str = "", note: str = "", kind: FigureClass = FigureClass.MEASURED) -> Figure:
    return Figure(name=name, value=value, unit=unit, kind=kind, derived_from=(USERS,), note=note or ("" if value is not None else "unknown"))


def _name(given: str) -> str:
    """As a part of a figure's name: lower case, and anything else than letters, digits and dots an underscore."""
    return re.sub(r"[^a-z0-9_.]", "_", given.lower())
