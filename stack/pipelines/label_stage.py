"""The stage where labelers vote: one group of columns per labeler, and every vote that failed kept beside its reason."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from stack.evidence import canonical_json
from stack.pipelines.base import Batch, RecordStage, Work
from stack.pipelines.errors import PipelineError
from stack.pipelines.labeling import Labeler, Llm, People, Vote, ask, digest, vote
from stack.runtime.files import sha256_file

FAILED_VOTES = "failed_votes"
"""The log of votes that failed: who, on which record, why, and what was answered."""


class LabelStage(RecordStage):
    """Every labeler votes on every record. Adds NAME_label, NAME_error, NAME_prompt_tokens, NAME_completion_tokens, NAME_model and NAME_digest."""

    kind: Literal["label"] = "label"
    shard_records: int = Field(default=64, ge=1, le=100_000, description="Records in one shard, the unit that is committed and resumed")
    labelers: tuple[Labeler, ...] = Field(min_length=1)
    labels: tuple[str, ...] = Field(default=(), description="The pipeline's, unless given")

    @field_validator("labelers")
    @classmethod
    def _names_differ(cls, labelers: tuple[Labeler, ...]) -> tuple[Labeler, ...]:
        require_distinct([labeler.name for labeler in labelers], what="labeler")
        return labelers

    @property
    def asks_a_model(self) -> bool:
        return any(isinstance(labeler, Llm) for labeler in self.labelers)

    def model_of(self, labeler: Labeler, work: Work) -> str | None:
        """Whom a labeler asks; None for those that ask nobody."""
        if not isinstance(labeler, Llm) or work.endpoint is None:
            return None
        return labeler.model or work.endpoint.model

    def digest_of(self, labeler: Labeler, work: Work) -> str:
        """SHA-256 of what decides a labeler's votes: for people, what they have decided so far."""
        if isinstance(labeler, People):
            log = _reviews(labeler, work)
            return sha256_file(log) if log else hashlib.sha256(b"").hexdigest()
        return digest(labeler, self.labels, work.folder)

    def digest(self, work: Work) -> str:
        """Of what decides a vote: not of how fast it is asked, nor of how records are cut."""
        who = [[each.name, self.digest_of(each, work), self.model_of(each, work)] for each in self.labelers]
        return hashlib.sha256(canonical_json({"stage": self.kind, "version": self.VERSION, "labels": list(self.labels), "labelers": who})).hexdigest()

    def in_words(self) -> str:
        return "; ".join(f"{each.name} ({each.kind})" for each in self.labelers) + f"; {self.shard_records} records a shard"

    def needs(self) -> tuple[str, ...]:
        return ("a chat endpoint (--url)",) if self.asks_a_model else ()

    def apply(self, batch: Batch, work: Work) -> None:
        """PipelineError when the endpoint is gone: such votes are worth nothing and must not be kept."""
        for labeler in self.labelers:
            self._add(batch, labeler, self._votes(labeler, batch, work), work)

    def _votes(self, labeler: Labeler, batch: Batch, work: Work) -> list[Vote]:
        match labeler:
            case Llm():
                return ask(labeler, batch.texts, self.labels, work)
            case People():
                return _decided(labeler, batch, self.labels, work)
            case _:
                return vote(labeler, batch.texts, self.labels, work.folder)

    def _add(self, batch: Batch, labeler: Labeler, votes: Sequence[Vote], work: Work) -> None:
        name, rows = labeler.name, len(batch)
        for field in ("label", "error", "prompt_tokens", "completion_tokens"):
            batch.columns[f"{name}_{field}"] = [getattr(each, field) for each in votes]
        batch.columns[f"{name}_model"] = [self.model_of(labeler, work)] * rows
        batch.columns[f"{name}_digest"] = [self.digest_of(labeler, work)] * rows
        if isinstance(labeler, Llm) and labeler.output != "choice":
            batch.columns[f"{name}_value"] = [None if each.error else each.value for each in votes]
        failed = [
            {"record_id": record_id, "labeler": name, "error": each.error, "answer": each.value}
            for record_id, each in zip(batch.columns["record_id"], votes, strict=True)
            if each.error is not None
        ]
        if failed:
            batch.notes.setdefault(FAILED_VOTES, []).extend(failed)


def _reviews(labeler: People, work: Work) -> Path | None:
    """The log of decisions; None while nobody has decided anything."""
    from stack.pipelines.review.log import REVIEWS

    if labeler.reviews is None:
        path = None if work.out is None else work.out / REVIEWS
        return path if path is not None and path.is_file() else None
    if not (work.folder / labeler.reviews).is_file():
        raise PipelineError(f"labeler {labeler.name}: field `reviews`: no file at {work.folder / labeler.reviews}")
    return work.folder / labeler.reviews


def _decided(labeler: People, batch: Batch, labels: Sequence[str], work: Work) -> list[Vote]:
    """People's label of each record; a decision on a text that has changed since does not count."""
    from stack.pipelines.review.decisions import fold, text_sha256
    from stack.pipelines.review.log import read_decisions
    from stack.pipelines.review.outcome import outcomes

    ids, log = batch.columns["record_id"], _reviews(labeler, work)
    if log is None:
        return [Vote(None)] * len(ids)
    found = outcomes(fold(read_decisions(log), dict(zip(ids, map(text_sha256, batch.texts), strict=True))))
    decided = [found[record_id].label if record_id in found else None for record_id in ids]
    return [Vote(label) if label is None or label in labels else Vote(None, "not_a_label", value=label) for label in decided]


def require_distinct(names: Sequence[str], *, what: str) -> None:
    if len(names) != len(set(names)):
        raise ValueError(f"each {what} needs a name of its own; {next(name for name in names if names.count(name) > 1)!r} repeats")
