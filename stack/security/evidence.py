"""The evidence record of an audit, and its recomputation."""

from pydantic import ValidationError

from stack.evidence import ArtifactSource, EvidenceError, Figure, FigureClass, RecordDraft, StoredRecord
from stack.runtime.errors import describe_validation
from stack.security.report import AuditReport, ControlResult, Status

KIND = "audit"
ARTIFACT = "checks.json"


def draft(report: AuditReport) -> tuple[RecordDraft, list[ArtifactSource]]:
    """What `EvidenceStore.write` takes."""
    record = RecordDraft(
        kind=KIND,
        title=f"Controls of {', '.join(report.targets)}",
        config={"targets": list(report.targets), **report.subject},
        figures=tuple(figures(report)),
        results={"checks": {result.control: result.status.value for result in report.results}},
    )
    content = report.model_dump_json(indent=2).encode()
    return record, [ArtifactSource(ARTIFACT, content, role="checks", media_type="application/json")]


def recompute(stored: StoredRecord) -> list[Figure]:
    """All figures of the record, counted again from the stored checks alone."""
    path = stored.artifact_path(ARTIFACT)
    try:
        return figures(AuditReport.model_validate_json(path.read_bytes()))
    except ValidationError as error:
        raise EvidenceError(describe_validation(error, source=str(path.relative_to(stored.root)))) from None


def figures(report: AuditReport) -> list[Figure]:
    """How many controls there are and how many of each status, overall and passed by target; then each control's own status."""
    counts = {"audit.controls": len(report.results)}
    counts |= {f"audit.{status}": count for status, count in report.counts.items()}
    counts |= {f"audit.{target}.pass": sum(result.target is target for result in report.with_status(Status.PASS)) for target in report.targets}
    counted = [Figure(name=name, value=value, kind=FigureClass.COMPUTED, derived_from=(ARTIFACT,)) for name, value in counts.items()]
    return counted + [_of_control(result) for result in report.results]


def _of_control(result: ControlResult) -> Figure:
    """`audit.control.sp_gw_01` is `pass`, `fail` or `not_applicable`; a control that was not checked is an unknown figure."""
    unknown = result.status is Status.UNKNOWN
    return Figure(
        name=f"audit.control.{result.control.lower().replace('-', '_')}",
        value=None if unknown else result.status.value,
        kind=FigureClass.MEASURED,
        derived_from=(ARTIFACT,),
        note=f"{result.title}: {result.detail}" if unknown else result.title,
    )
