"""What stages are made of: a batch of records in columns, the two kinds of stage, and what a stage may say of a record.

A **record stage** works on one shard at a time, in any worker, and never sees another shard. A **dataset stage** needs all records:
each worker makes a small sketch of its shard, one process decides over all sketches, in shard order, and the decision is committed.
Both are plain models whose fields are what the pipeline file says, so that their digest is what decides a shard's bytes.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from stack.evidence import canonical_json

if TYPE_CHECKING:
    from stack.pipelines.endpoint import ChatEndpoint
    from stack.pipelines.labeling import Budget

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", description="Lower-case letters, digits and underscores: it becomes part of column and figure names")]


class Frozen(BaseModel):
    """Unknown fields are refused, so that a typo never passes in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Dropped:
    """A record that was left out: which stage, why, and a detail such as the record_id that was kept instead."""

    source: str
    row: int
    reason: str
    detail: str = ""
    record_id: str = ""
    stage: str = ""


@dataclass
class Batch:
    """Some records while stages work on them: one list per column, all of one length.

    Always there: record_id, source, row (from 0 in its source, bad rows counted), text, language, gold, source_id. `notes` are
    rows of a stage's own log, by file name (`pii_spans` becomes pii_spans.jsonl); they must not hold what was redacted.
    """

    columns: dict[str, list[Any]]
    dropped: list[Dropped] = field(default_factory=list)
    notes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.columns["record_id"])

    @property
    def texts(self) -> list[str]:
        return self.columns["text"]

    def drop(self, reasons: Mapping[int, tuple[str, str]], *, stage: str) -> None:
        """Leave out the rows of `reasons`: position to (reason, detail). Reason: lower case with underscores."""
        if not reasons:
            return
        at = self.columns
        self.dropped += [Dropped(at["source"][i], at["row"][i], *reasons[i], at["record_id"][i], stage) for i in sorted(reasons)]
        kept = [position for position in range(len(self)) if position not in reasons]
        self.columns = {name: [values[position] for position in kept] for name, values in at.items()}


@dataclass(frozen=True)
class Work:
    """What a stage may use beside its own fields.

    `folder` (the pipeline file's) is where its relative paths start, `out` is the run's. Labelers that ask a model also get the
    `endpoint`, a file for the `answers` of this shard that must not be paid for twice, the `share` of tasks that ask at the same
    time, and what is left of the run's `budget`.
    """

    folder: Path
    out: Path | None = None
    endpoint: "ChatEndpoint | None" = None
    answers: Path | None = None
    share: int = 1
    budget: "Budget | None" = None


class Stage(Frozen, ABC):
    """Subclasses set `kind: Literal[...]` with its default, so that the pipeline file names them by it.

    Fields called `labels` and `labelers` that the file leaves empty are filled with the pipeline's.
    """

    VERSION: ClassVar[int] = 1
    """Raise it when the same fields give other output: shards made by another version are made again."""
    UNDECISIVE: ClassVar[tuple[str, ...]] = ()
    """Fields that change no output, such as whom an endpoint is trusted by."""

    kind: str

    def digest(self, work: Work) -> str:  # noqa: ARG002 -- for those that read a file
        """SHA-256 of what decides its output; a stage that reads a file adds the file's hash."""
        body = {"stage": self.kind, "version": self.VERSION, **self.model_dump(mode="json", exclude={*self.UNDECISIVE})}
        return hashlib.sha256(canonical_json(body)).hexdigest()

    @abstractmethod
    def in_words(self) -> str:
        """What it does, in one line, for `label plan`."""

    def needs(self) -> tuple[str, ...]:
        """What must be there beside the source, in words: `package NAME` and `key file PATH` are looked for before anything runs."""
        return ()


class RecordStage(Stage):
    """One shard at a time."""

    @abstractmethod
    def apply(self, batch: Batch, work: Work) -> None:
        """Change the batch in place: texts, columns, drops, notes. Deterministic: the same batch gives the same result."""


@dataclass(frozen=True)
class Decision:
    """What a dataset stage decided of one shard, by position in it: rows to drop, and columns to add (one value per row before dropping)."""

    drop: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)


class DatasetStage(Stage):
    """All records. `sketch` runs in workers, `decide` once."""

    @abstractmethod
    def sketch(self, batch: Batch, work: Work) -> pa.Table:
        """One row per record, in order, small: digests, signatures, votes; never the text."""

    @abstractmethod
    def decide(self, sketches: Sequence[pa.Table], work: Work) -> Iterator[Decision]:
        """One decision per shard, in order. It must not depend on how records were cut into shards."""

    def committed(self, sketches: Sequence[pa.Table], decisions: Sequence[Decision], work: Work) -> None:
        """Called when the decisions are safe on disk, for what later runs must know. Again with the same: changes nothing."""
