"""The evidence record of a run, and its recomputation from the samples."""

import re
from pathlib import Path

from pydantic import ValidationError

from bench.errors import BenchError
from bench.quality.figures import quality_figures
from bench.results.files import QUALITY, REQUESTS, SUMMARY, SYSTEM, TOKENS, WORKLOAD
from bench.results.metrics import summarize
from bench.results.samples import read_samples
from bench.results.summary import Interval, Metric, Metrics, Summary, TailPercentiles
from bench.system.figures import system_figures
from stack.evidence import ArtifactSource, EvidenceError, Figure, FigureClass, RecordDraft, StoredRecord

KIND = "bench"
SAMPLES = (REQUESTS, TOKENS)
STATISTICS = ("mean", "p50", "p90", "p95", "p99")
CERTIFIED = ("ttft_ms", "tpot_ms", "e2e_ms")

Value = float | int | str | bool | None


def draft(summary: Summary, out: Path) -> tuple[RecordDraft, list[ArtifactSource]]:
    """What `EvidenceStore.write` takes; `out` is the folder `run_workload` wrote."""
    record = RecordDraft(
        kind=KIND,
        title=f"Benchmark {summary.workload.name or 'workload'} of {summary.workload.model}",
        config={"workload": summary.workload.model_dump(mode="json"), "seed": summary.seed, "url": summary.url, "inputs": summary.inputs},
        figures=tuple(figures(summary)),
        results=summary.model_dump(mode="json", exclude={"workload", "seed", "url", "inputs", "tool"}),
    )
    parquet, words = "application/vnd.apache.parquet", "application/yaml"
    return record, [
        ArtifactSource(REQUESTS, out / REQUESTS, role="samples", media_type=parquet),
        ArtifactSource(TOKENS, out / TOKENS, role="samples", media_type=parquet),
        *([] if summary.system is None else [ArtifactSource(SYSTEM, out / SYSTEM, role="samples", media_type=parquet)]),
        *([ArtifactSource(QUALITY, out / QUALITY, role="samples", media_type="application/jsonl")] if _asked(summary) else []),
        ArtifactSource(SUMMARY, out / SUMMARY, role="report", media_type="application/json"),
        ArtifactSource(WORKLOAD, out / WORKLOAD, role="config", media_type=words),
    ]


def recompute(stored: StoredRecord) -> list[Figure]:
    """All figures of the record, worked out from its Parquet files alone."""
    try:
        system = stored.artifact_path(SYSTEM) if stored.record.artifact(SYSTEM) else None
        quality = stored.artifact_path(QUALITY) if stored.record.artifact(QUALITY) else None
        return figures(summarize(read_samples(stored.artifact_path(REQUESTS), stored.artifact_path(TOKENS), system, quality)))
    except (BenchError, ValidationError) as error:
        raise EvidenceError(f"{stored.path.relative_to(stored.root)}: {' '.join(str(error).split())}") from None


def figures(summary: Summary) -> list[Figure]:
    """Every figure that may be quoted from a run, named `bench.<workload>.<field of the summary>`."""
    prefix = f"bench.{figure_name(summary.workload.name or 'workload')}"

    sources = (*SAMPLES, *([] if summary.system is None else [SYSTEM]), *([QUALITY] if _asked(summary) else []))

    def figure(name: str, value: Value, *, unit: str = "", note: str = "", kind: FigureClass = FigureClass.MEASURED) -> Figure:
        derived = sources if name == "valid" or name.startswith(("system.", "quality.")) else SAMPLES
        return Figure(name=f"{prefix}.{name}", value=value, unit=unit, kind=kind, derived_from=derived, note=note or ("" if value is not None else "unknown"))

    requests, rates, goodput = summary.requests, summary.rates, summary.goodput
    found = [
        figure("valid", summary.valid, kind=FigureClass.COMPUTED, note="; ".join(summary.invalid_reasons)),
        figure("requests.sent", requests.sent),
        figure("requests.ok", requests.ok),
        figure("requests.failed", requests.failed, note=", ".join(f"{name}: {count}" for name, count in requests.by_class.items())),
        *(figure(name, getattr(rates, name), unit="/s") for name in type(rates).model_fields),
        figure("tokens_per_chunk", summary.tokens_per_chunk),
        figure("client.cpu_us_per_token", summary.client.cpu_us_per_token, unit="us"),
        figure("client.loop_lag_ms_p99", summary.client.loop_lag_ms_p99, unit="ms"),
    ]
    found += [
        figure("token_check.mismatch", summary.token_check.mismatch, note=summary.token_check.note),
        figure("steady", summary.steady.steady, note=summary.steady.note),
        figure("failed_share", summary.with_failures.failed_share),
    ]
    for name in ("ttft_ms", "tpot_ms", "e2e_ms"):
        tail: TailPercentiles = getattr(summary.with_failures, name)
        found.append(figure(f"with_failures.{name}.p99", tail.p99, unit="ms", note=summary.with_failures.note))
    if goodput is not None:
        found.append(figure("goodput.share", goodput.share, note=f"requests that met {goodput.slo.model_dump(exclude_none=True)}"))
        found += [figure(f"goodput.share.{name}", value) for name, value in _bounds(goodput.interval_95)]
    for name in Metrics.model_fields:
        metric: Metric = getattr(summary.metrics, name)
        found += [figure(f"{name}.{statistic}", getattr(metric, statistic), unit="ms", note=_note(metric, statistic)) for statistic in STATISTICS]
        if name in CERTIFIED:
            found += [
                figure(f"{name}.certified.{statistic}", getattr(metric.certified, statistic), unit="ms", note=_note(metric, statistic))
                for statistic in STATISTICS[2:]
            ]
            found += [
                figure(f"{name}.{statistic}.{bound}", value, unit="ms", note="" if value is not None else metric.note)
                for statistic in STATISTICS
                for bound, value in _bounds(getattr(metric.interval_95, statistic))
            ]
    if summary.system is not None:
        found += [figure(each.name, each.value, unit=each.unit, note=each.note) for each in system_figures(summary.system)]
    if summary.quality is not None:
        found += [figure(name, value, note=note, kind=_kind(name)) for name, value, note in quality_figures(summary.quality)]
    return found


def _kind(name: str) -> FigureClass:
    return FigureClass.COMPUTED if name.endswith(".holds") else FigureClass.MEASURED


def _asked(summary: Summary) -> bool:
    """Whether a quality task was, and its answers are therefore among the samples."""
    return summary.quality is not None and summary.quality.accuracy is not None and summary.quality.accuracy.task_sha256 is not None


def _bounds(interval: Interval | None) -> tuple[tuple[str, Value], tuple[str, Value]]:
    """Both ends of a 95 % interval, named."""
    low, high = interval or (None, None)
    return ("low_95", low), ("high_95", high)


def figure_name(workload: str) -> str:
    """A workload's name as a part of a figure's: lower case, anything else than letters, digits and dots to an underscore."""
    return re.sub(r"[^a-z0-9_.]", "_", workload.lower())


def _note(metric: Metric, statistic: str) -> str:
    missing = getattr(metric.missing_samples, statistic, 0)
    return f"{metric.count} samples: {missing} more are needed to certify this percentile" if missing else metric.note
