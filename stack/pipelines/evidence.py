"""What a labeling run leaves as evidence. Figures that follow from the labels are worked out from the stored table by the same functions."""

from pathlib import Path
from typing import Any

from stack.evidence import ArtifactSource, Figure, FigureClass, RecordDraft, StoredRecord
from stack.pipelines.finish import CARD, CROISSANT, DATASHEET, LABELS, MEDIA_TYPES
from stack.pipelines.manifest import MANIFEST
from stack.pipelines.run import LabelingRun
from stack.pipelines.scores import count_file
from stack.pipelines.shards import DROPPED
from stack.pipelines.spec import Pipeline
from stack.pipelines.statistics import Proportion
from stack.pipelines.trail import Interval

KIND = "labeling"
DIGITS = 6
"""Decimal places of shares and coefficients."""
ROLES = {LABELS: "samples", CARD: "report", DATASHEET: "report", CROISSANT: "report", DROPPED: "samples", MANIFEST: "manifest"}
"""What of a dataset goes into evidence, and as what."""


def labeling_evidence(done: LabelingRun) -> tuple[RecordDraft, list[ArtifactSource]]:
    """The record of one run, and its dataset as artifacts."""
    note = "" if done.labeled else "every shard had been committed by an earlier run"
    rate = None if done.records_per_s is None else round(done.records_per_s, 3)
    draft = RecordDraft(
        kind=KIND,
        title=done.pipeline.title,
        config={"pipeline": _portable(done.pipeline), "model": done.model, "executor": done.executor, "shards": done.shards},
        figures=(
            *_figures(done.out / LABELS, done.out / DROPPED, with_gold=done.pipeline.evaluates),
            Figure(
                name="labeling.records_per_s",
                value=rate,
                unit="1/s",
                kind=FigureClass.MEASURED,
                note=note or f"over the {done.labeled} records labeled by this run",
            ),
        ),
        results={"card": done.card},
    )
    return draft, [ArtifactSource(name=name, content=done.out / name, role=role, media_type=MEDIA_TYPES[Path(name).suffix]) for name, role in ROLES.items()]


def recompute(stored: StoredRecord) -> list[Figure]:
    """The `derived_from` figures of a `labeling` record, from its artifacts alone."""
    stages = stored.record.config["pipeline"]["stages"]
    return _figures(stored.artifact_path(LABELS), stored.artifact_path(DROPPED), with_gold=any(stage["kind"] == "evaluate" for stage in stages))


def _figures(labels: Path, dropped: Path, *, with_gold: bool) -> list[Figure]:
    statistics = count_file(labels).statistics(with_gold=with_gold)
    figures = [
        _count("labeling.records", statistics.records),
        _count("labeling.dropped", len(dropped.read_bytes().splitlines()), source=DROPPED),
        _count("labeling.errors", sum(statistics.failed.values()), note="votes that failed"),
        _count("labeling.prompt_tokens", statistics.prompt_tokens, note="by the engine's usage"),
        _count("labeling.completion_tokens", statistics.completion_tokens, note="by the engine's usage"),
    ]
    for name, judged in statistics.against_gold.items():
        who = "final" if name == "label" else name
        figures += _proportion(f"labeling.accuracy.{who}", judged.overall)
        figures += _interval(f"labeling.kappa_gold.{who}", judged.kappa, note="Cohen's kappa with the human label")
    if statistics.against_gold:
        figures += _proportion("labeling.accuracy.majority_class", statistics.majority_class, note="baseline: always the most frequent human label")
    for (a, b), kappa in statistics.kappa.items():
        figures += _interval(f"labeling.kappa.{a}.{b}", kappa, note="Cohen's kappa between the labelers")
    if statistics.alpha is not None:
        figures += _interval("labeling.alpha", statistics.alpha, note="Krippendorff's alpha of all labelers")
    return figures


def _portable(pipeline: Pipeline) -> dict[str, Any]:
    """The configuration without this machine's folders; the sources' hashes are in the card."""
    plain = pipeline.model_dump(mode="json")
    for source in next(stage for stage in plain["stages"] if stage["kind"] == "read")["sources"]:
        source["path"] = source["path"].rsplit("/", 1)[-1]
    return plain


def _count(name: str, value: int, *, note: str = "", source: str = LABELS) -> Figure:
    return Figure(name=name, value=value, kind=FigureClass.MEASURED, derived_from=(source,), note=note)


def _share(name: str, value: float | None, *, note: str = "") -> Figure:
    if value is None:
        return Figure(
            name=name,
            value=None,
            kind=FigureClass.MEASURED,
            derived_from=(LABELS,),
            note=f"{note}: undefined, one label only or none in common".removeprefix(": "),
        )
    return Figure(name=name, value=round(value, DIGITS), kind=FigureClass.MEASURED, derived_from=(LABELS,), note=note)


def _interval(name: str, found: Interval, *, note: str) -> list[Figure]:
    ends = [_share(f"{name}.{end}", getattr(found, end)) for end in ("low", "high") if getattr(found, end) is not None]
    return [_share(name, found.value, note=f"{note}; 95 % bootstrap interval" if ends else note), *ends]


def _proportion(name: str, share: Proportion, *, note: str = "") -> list[Figure]:
    note = "; ".join(part for part in (note, f"{share.successes} of {share.total}, Wilson 95 % interval") if part)
    return [_share(name, share.value, note=note), _share(f"{name}.low", share.low), _share(f"{name}.high", share.high)]
