"""Where one record came from and what changed it: two columns that say it while stages run."""

import hashlib

from stack.pipelines.base import Batch, RecordStage, Work

RECORD_SHA256 = "record_sha256"
"""SHA-256 of the text as read, UTF-8."""
STAGES = "stages"
"""Kinds of the stages that changed the text, by comma, in order; empty where none did."""


def begin(batch: Batch) -> None:
    """Add both columns, before any stage has run."""
    batch.columns[RECORD_SHA256] = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in batch.texts]
    batch.columns[STAGES] = [""] * len(batch)


def apply_noted(stage: RecordStage, batch: Batch, work: Work) -> None:
    """Run a record stage and add its kind to the records whose text it changed. Needs `begin`."""
    ids = list(batch.columns["record_id"])
    texts: list[str | None] = list(batch.texts)
    stage.apply(batch, work)
    kept = batch.columns["record_id"]
    if kept != ids:
        text_of = dict(zip(ids, texts, strict=True))
        texts = [text_of.get(record_id) for record_id in kept]
    batch.columns[STAGES] = [
        said if before == text else f"{said},{stage.kind}".lstrip(",") for before, text, said in zip(texts, batch.texts, batch.columns[STAGES], strict=True)
    ]
