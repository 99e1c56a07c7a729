"""What an evaluation leaves as evidence."""

from stack.apps.catalog import Evaluation, recompute_figures
from stack.evidence import ArtifactSource, Figure, FigureClass, RecordDraft, StoredRecord

KIND = "app"


def draft(done: Evaluation) -> tuple[RecordDraft, list[ArtifactSource]]:
    """The record of one evaluation, and its predictions as artifacts."""
    app = done.app
    seconds = Figure(name=f"{app.name}.evaluation_s", value=round(done.seconds, 3), unit="s", kind=FigureClass.MEASURED, note="wall time of all questions")
    record = RecordDraft(
        kind=KIND,
        title=f"{app.title} ({app.sector})",
        config={"app": app.name, "sector": app.sector, "model": done.model, **done.config},
        figures=(*done.figures, seconds),
        results=done.results,
    )
    return record, [
        ArtifactSource(name=name, content=done.out / name, role=role, media_type="application/jsonl" if name.endswith(".jsonl") else "application/json")
        for name, role in done.artifacts.items()
    ]


def recompute(stored: StoredRecord) -> list[Figure]:
    """The `derived_from` figures of an `app` record, from its artifacts alone."""
    return recompute_figures(str(stored.record.config["app"]), stored.artifact_path)
