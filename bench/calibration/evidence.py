"""The evidence record of a calibration, and its recomputation from both sides' records."""

from pathlib import Path

from pydantic import ValidationError

from bench.calibration.models import Calibration, CalibrationPoint
from bench.calibration.plan import verdict
from bench.calibration.run import RESULT
from bench.calibration.truth import TRUTH, Setting, compare, read_truth
from bench.errors import BenchError
from bench.evidence import figure_name
from bench.results.files import REQUESTS, TOKENS
from bench.results.samples import read_samples
from stack.evidence import ArtifactSource, EvidenceError, Figure, FigureClass, RecordDraft, StoredRecord

KIND = "calibration"
FILES = (REQUESTS, TOKENS, TRUTH)


def draft(result: Calibration, out: Path) -> tuple[RecordDraft, list[ArtifactSource]]:
    """What `EvidenceStore.write` takes; `out` is the folder of the calibration."""
    record = RecordDraft(
        kind=KIND,
        title="What the load generator resolves on this host",
        config={
            **result.model_dump(mode="json", include={"workload", "workers", "duration_s"}),
            "levels": [
                {**point.model_dump(include={"name", "loop", "load", "share"}), "ttft_ms": result.ttft_ms, "token_interval_ms": result.token_interval_ms}
                for point in result.points
            ],
        },
        figures=tuple(figures(result.points)),
        results=result.model_dump(mode="json", exclude={"workload", "tool", "host"}),
    )
    sources = [
        ArtifactSource(f"{point.name}.{name}", out / point.name / name, role="samples", media_type="application/vnd.apache.parquet")
        for point in result.points
        for name in FILES
    ]
    return record, [*sources, ArtifactSource(RESULT, out / RESULT, role="report", media_type="application/json")]


def recompute(stored: StoredRecord) -> list[Figure]:
    """All figures of the record, from the client's samples and the server's log."""
    try:
        return figures([_again(stored, Setting(**level)) for level in stored.record.config["levels"]])
    except (BenchError, ValidationError, KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"{stored.path.relative_to(stored.root)}: {' '.join(str(error).split())}") from None


def figures(points: list[CalibrationPoint] | tuple[CalibrationPoint, ...]) -> list[Figure]:
    """Every figure that may be quoted, named `calibration.<point>.<field>`."""
    everything = tuple(f"{point.name}.{name}" for point in points for name in FILES)
    found = verdict(points)

    def whole(name: str, value: float | None, unit: str) -> Figure:
        note = "" if value is not None else "no load of this kind was tried, or not the lowest was resolved"
        return Figure(name=f"calibration.{name}", value=value, unit=unit, kind=FigureClass.COMPUTED, derived_from=everything, note=note)

    return [whole("streams", found.streams, ""), whole("requests_per_s", found.requests_per_s, "/s"), *(each for point in points for each in _of(point))]


def _of(point: CalibrationPoint) -> list[Figure]:
    own = tuple(f"{point.name}.{name}" for name in FILES)
    prefix = figure_name(f"calibration.{point.name}")
    values = (
        ("ttft_error_ms.mean", point.ttft_error_ms.mean, "ms"),
        ("ttft_error_ms.p99", point.ttft_error_ms.p99, "ms"),
        ("tpot_error_share", point.tpot_error_share, ""),
        ("chunk_gap_p99_error_share", point.chunk_gap_p99_error_share, ""),
        ("delivered_share", point.delivered_share, ""),
        ("server_late_ms.p99", point.server_late_ms.p99, "ms"),
        ("cpu_us_per_token", point.cpu_us_per_token, "us"),
        ("valid", point.valid, ""),
    )
    return [
        Figure(name=f"{prefix}.{name}", value=value, unit=unit, kind=FigureClass.MEASURED, derived_from=own, note="" if value is not None else "unknown")
        for name, value, unit in values
    ]


def _again(stored: StoredRecord, setting: Setting) -> CalibrationPoint:
    requests, tokens, truth = (stored.artifact_path(f"{setting.name}.{name}") for name in FILES)
    return compare(read_samples(requests, tokens), read_truth(truth), setting)
