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
    before = dict(zip(batch.columns["record_id"], batch.texts, strict=True))
    stage.apply(batch, work)
    noted = batch.columns[STAGES]
    batch.columns[STAGES] = [
        said if before.get(record_id) == text else f"{said},{stage.kind}".lstrip(",")
        for record_id, text, said in zip(batch.columns["record_id"], batch.texts, noted, strict=True)
    ]
