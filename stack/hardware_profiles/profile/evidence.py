"""The evidence record of a profile, and its recomputation from the stored repetitions."""

from collections.abc import Iterator

from pydantic import ValidationError

from stack.evidence import ArtifactSource, EvidenceError, Figure, FigureClass, RecordDraft, StoredRecord
from stack.hardware_profiles.profile.models import Profile, Result
from stack.hardware_profiles.profile.page import profile_page
from stack.hardware_profiles.profile.timing import figures as figures_of
from stack.runtime.errors import describe_validation

KIND = "profile"
ARTIFACT = "profile.json"
PAGE = "profile.html"
UNIT_NAMES = {"GFLOP/s": "gflop_s", "GOP/s": "gop_s", "GB/s": "gb_s", "us": "us"}


def draft(profile: Profile) -> tuple[RecordDraft, list[ArtifactSource]]:
    """What `EvidenceStore.write` takes."""
    record = RecordDraft(
        kind=KIND,
        title="What the hardware really does" + ("" if profile.complete else " (interrupted)"),
        config={"device": profile.device, "groups": sorted({result.group.value for result in profile.results})},
        figures=tuple(figures(profile)),
        results={"verdicts": {result.name: f"{result.status}: {result.reason}".removesuffix(": ") for result in profile.results}},
    )
    content = profile.model_dump_json(indent=2).encode()
    return record, [
        ArtifactSource(ARTIFACT, content, role="samples", media_type="application/json"),
        ArtifactSource(PAGE, profile_page(profile), role="report", media_type="text/html"),
    ]


def recompute(stored: StoredRecord) -> list[Figure]:
    """All figures of the record, worked out from the stored repetitions alone."""
    path = stored.artifact_path(ARTIFACT)
    try:
        return figures(Profile.model_validate_json(path.read_bytes()))
    except (ValidationError, ValueError) as error:
        where = str(path.relative_to(stored.root))
        raise EvidenceError(describe_validation(error, source=where) if isinstance(error, ValidationError) else f"{where}: {error}") from None


def figures(profile: Profile) -> list[Figure]:
    """The sustained figure of each result, and its share of the peak where one is known."""
    return [figure for result in profile.results for figure in _figures(result)]


def _figures(result: Result) -> Iterator[Figure]:
    value, tail = _sustained(result)
    note = f"{result.status}: {result.reason}".removesuffix(": ") if value is None or result.status != "ok" else ""
    name = f"{result.name}.{UNIT_NAMES[result.unit]}"
    yield Figure(name=name, value=value, unit=result.unit, kind=FigureClass.MEASURED, derived_from=(ARTIFACT,), note=note)
    if tail is not None:
        yield Figure(
            name=f"{result.name}.p99.{UNIT_NAMES[result.unit]}", value=tail, unit=result.unit, kind=FigureClass.MEASURED, derived_from=(ARTIFACT,), note=note
        )
    if value is not None and result.peak is not None:
        source = f"{result.peak.source} ({result.peak.kind} peak of {result.peak.value:g} {result.unit})"
        share = value / result.peak.value
        yield Figure(name=f"{result.name}.share_of_peak", value=share, kind=FigureClass.COMPUTED, derived_from=(ARTIFACT,), source=source, note=note)


def _sustained(result: Result) -> tuple[float | None, float | None]:
    """Median and p99: of the repetitions, or of what fio kept of them."""
    if not result.samples_s:
        return result.median, result.p99
    found = figures_of(result.samples_s, unit=result.unit, work=result.work)
    return found.median, found.p99
