"""The evidence record of a demo run: how long each step took, and the most memory it needed."""

from pydantic import BaseModel, ValidationError

from stack.evidence import ArtifactSource, EvidenceError, Figure, FigureClass, RecordDraft, StoredRecord
from stack.runtime.errors import describe_validation

KIND = "demo"
STEPS_FILE = "steps.json"


class Steps(BaseModel):
    """The artifact: seconds by step."""

    steps_s: dict[str, float]


def demo_evidence(steps_s: dict[str, float], *, wall_s: float, peak_bytes: int | None) -> tuple[RecordDraft, list[ArtifactSource]]:
    """What `EvidenceStore.write` takes; `peak_bytes` is None when no sample was taken."""
    wall = Figure(name="demo.wall_s", value=round(wall_s, 1), unit="s", kind=FigureClass.MEASURED, note="from the start to the last measurement")
    how = "largest sum of the proportional set sizes of all processes, sampled every 2 s"
    peak = Figure(name="demo.peak_memory_bytes", value=peak_bytes, unit="By", kind=FigureClass.MEASURED, note=how if peak_bytes else "no sample was taken")
    steps = Steps(steps_s=steps_s)
    draft = RecordDraft(kind=KIND, title="The demo run itself", figures=(wall, peak, *_step_figures(steps)), results=steps.model_dump())
    return draft, [ArtifactSource(STEPS_FILE, steps.model_dump_json(indent=2).encode(), role="report", media_type="application/json")]


def recompute(stored: StoredRecord) -> list[Figure]:
    """The times of the steps, from the record's own artifact."""
    path = stored.artifact_path(STEPS_FILE)
    try:
        return _step_figures(Steps.model_validate_json(path.read_bytes()))
    except ValidationError as error:
        raise EvidenceError(describe_validation(error, source=str(path.relative_to(stored.root)))) from None


def _step_figures(steps: Steps) -> list[Figure]:
    return [
        Figure(name=f"demo.step.{name}_s", value=value, unit="s", kind=FigureClass.MEASURED, derived_from=(STEPS_FILE,))
        for name, value in steps.steps_s.items()
    ]
