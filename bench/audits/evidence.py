"""The evidence record of an audit, and its recomputation from every answer that it rests on."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.audits import TESTS
from bench.audits.models import AUDIT, AuditResult, PhaseInfo, Ruling, Subject
from bench.audits.protocol import Outcome
from bench.audits.run import answers_file, judge, read_asked, read_load
from bench.errors import BenchError
from bench.evidence import figure_name
from bench.results.files import REQUESTS, TOKENS
from stack.evidence import ArtifactSource, EvidenceError, Figure, FigureClass, RecordDraft, StoredRecord

KIND = "bench-audit"


def draft(result: AuditResult, out: Path) -> tuple[RecordDraft, list[ArtifactSource]]:
    """What `EvidenceStore.write` takes; `out` is the folder that `run_audit` wrote."""
    record = RecordDraft(
        kind=KIND,
        title=f"{result.test} of {result.subject.workload.model}: {result.title}",
        config=result.model_dump(mode="json", include={"test", "subject", "phases", "url"}),
        figures=tuple(figures(result.test, result.subject, result.phases, result)),
        results=result.model_dump(mode="json", exclude={"subject", "phases", "url", "tool"}),
    )
    sources = []
    for phase in result.phases:
        for name in _artifacts(phase):
            place = out / phase.name / name.removeprefix(f"{phase.name}.") if phase.kind == "load" else out / name
            media = "application/vnd.apache.parquet" if phase.kind == "load" else "application/jsonl"
            sources.append(ArtifactSource(name, place, role="samples", media_type=media))
    return record, [*sources, ArtifactSource(AUDIT, out / AUDIT, role="report", media_type="application/json")]


def recompute(stored: StoredRecord) -> list[Figure]:
    """All figures of the record: its answers judged once more."""
    config: dict[str, Any] = stored.record.config
    try:
        subject = Subject.model_validate(config["subject"])
        phases = tuple(PhaseInfo.model_validate(each) for each in config["phases"])
        done: dict[str, Outcome] = {}
        for phase in phases:
            paths = [stored.artifact_path(name) for name in _artifacts(phase)]
            done[phase.name] = read_load(*paths) if phase.kind == "load" else read_asked(*paths)
        return figures(config["test"], subject, phases, judge(TESTS[config["test"]], subject, done))
    except (BenchError, ValidationError, KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"{stored.path.relative_to(stored.root)}: {' '.join(str(error).split())}") from None


def figures(test: str, subject: Subject, phases: tuple[PhaseInfo, ...], ruling: Ruling) -> list[Figure]:
    """Named `bench_audit.<workload>.<test>.<figure>`, the verdict first."""
    prefix = f"bench_audit.{figure_name(subject.workload.name or 'workload')}.{figure_name(test)}"
    artifacts = tuple(name for phase in phases for name in _artifacts(phase))

    def figure(name: str, value: float | int | str | bool | None, kind: FigureClass, note: str) -> Figure:
        return Figure(name=f"{prefix}.{name}", value=value, kind=kind, derived_from=artifacts, note=note)

    return [
        figure("verdict", ruling.verdict, FigureClass.COMPUTED, ruling.reason),
        *(figure(name, value, FigureClass.MEASURED, "unknown" if value is None else "") for name, value in ruling.figures.items()),
    ]


def _artifacts(phase: PhaseInfo) -> tuple[str, ...]:
    """Names of the phase's files in the record."""
    return (f"{phase.name}.{REQUESTS}", f"{phase.name}.{TOKENS}") if phase.kind == "load" else (answers_file(phase.name),)
