"""Stages that do nothing to a shard: where records come from, what is measured at the end, and what is written."""

import hashlib
from typing import Literal

from pydantic import Field, field_validator

from stack.evidence import canonical_json
from stack.pipelines.base import Stage, Work
from stack.pipelines.label_stage import require_distinct
from stack.pipelines.readers import Source


class Read(Stage):
    """All records of the sources, in the order of the file, cut into shards of about `shard_records`."""

    kind: Literal["read"] = "read"
    sources: tuple[Source, ...] = Field(min_length=1)
    shard_records: int = Field(default=10_000, ge=1, le=1_000_000, description="Records that one task cleans; what a worker holds in memory")

    @field_validator("sources")
    @classmethod
    def _names_differ(cls, sources: tuple[Source, ...]) -> tuple[Source, ...]:
        require_distinct([source.name for source in sources], what="source")
        return sources

    def digest(self, work: Work) -> str:  # noqa: ARG002 -- the contract of stages
        """Without the folders of this machine: what the files hold is told by their hashes."""
        sources = [{**source.model_dump(mode="json"), "path": source.path.rsplit("/", 1)[-1]} for source in self.sources]
        return hashlib.sha256(canonical_json({"stage": self.kind, "version": self.VERSION, "sources": sources})).hexdigest()

    def in_words(self) -> str:
        return ", ".join(f"{source.path.rsplit('/', 1)[-1]} ({source.licence})" for source in self.sources)


class Evaluate(Stage):
    """Compare every labeler, and the outcome, with the human label."""

    kind: Literal["evaluate"] = "evaluate"

    def in_words(self) -> str:
        return "accuracy and kappa against the human labels, agreement between labelers"


class Write(Stage):
    """The dataset is labels.parquet; the other formats are written beside it."""

    kind: Literal["write"] = "write"
    format: Literal["parquet", "jsonl", "csv"] = "parquet"

    def in_words(self) -> str:
        beside = "" if self.format == "parquet" else f" and labels.{self.format}"
        return f"labels.parquet{beside}, with its card"
