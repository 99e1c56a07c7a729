"""What people decided, as a pure fold over the log (models and logic; no I/O)."""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

MAX_NAME, MAX_NOTE, MAX_LABEL = 100, 4000, 200


def _visible(name: str) -> str:
    """One spelling per name: NFC, single spaces, nothing that cannot be seen."""
    clean = " ".join(unicodedata.normalize("NFC", name).split())
    if not clean or any(unicodedata.category(letter) == "Cc" for letter in clean):
        raise ValueError("must be a name that can be read")
    return clean


Reviewer = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_visible)]
RecordId = Annotated[str, Field(min_length=1, max_length=200)]


class Kind(StrEnum):
    VOTE = "vote"
    UNDO = "undo"
    ADJUDICATION = "adjudication"


class Decision(BaseModel):
    """One line of the log. `label` None is a skip; an undo takes back the last decision of its reviewer that stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    record_id: RecordId
    text_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of the text that the reviewer saw, in UTF-8")
    reviewer: Reviewer
    label: str | None = Field(default=None, max_length=MAX_LABEL)
    note: str = Field(default="", max_length=MAX_NOTE)
    at: AwareDatetime
    kind: Kind
    seq: int = Field(ge=1, description="Counts the lines of one log from 1")

    @model_validator(mode="after")
    def _settles(self) -> Self:
        if self.kind is Kind.ADJUDICATION and self.label is None:
            raise ValueError("an adjudication needs a label")
        if self.kind is Kind.UNDO and self.label is not None:
            raise ValueError("an undo has no label")
        return self


@dataclass
class ReviewState:
    """What stands after some decisions: per reviewer their decisions that were not undone, oldest first."""

    standing: dict[str, list[Decision]] = field(default_factory=dict)

    def add(self, decision: Decision) -> None:
        """The fold's step. An undo with nothing left to undo changes nothing."""
        mine = self.standing.setdefault(decision.reviewer, [])
        if decision.kind is not Kind.UNDO:
            mine.append(decision)
        elif mine:
            mine.pop()

    def last(self, reviewer: str) -> Decision | None:
        """What an undo of this reviewer would take back."""
        mine = self.standing.get(reviewer)
        return mine[-1] if mine else None

    def of(self, reviewer: str) -> dict[str, Decision]:
        """A reviewer's vote or skip per record: the last one that stands."""
        return {each.record_id: each for each in self.standing.get(reviewer, ()) if each.kind is Kind.VOTE}

    def votes(self) -> dict[str, dict[str, Decision]]:
        """Per record, per reviewer, the vote that stands; skips left out."""
        found: dict[str, dict[str, Decision]] = {}
        for reviewer in sorted(self.standing):
            for record_id, decision in self.of(reviewer).items():
                if decision.label is not None:
                    found.setdefault(record_id, {})[reviewer] = decision
        return found

    def settled(self) -> dict[str, Decision]:
        """Per record the latest adjudication that stands, whoever made it."""
        made = (each for mine in self.standing.values() for each in mine if each.kind is Kind.ADJUDICATION)
        return {each.record_id: each for each in sorted(made, key=lambda each: each.seq)}

    def disputed(self) -> set[str]:
        """Records whose reviewers gave different labels."""
        return {record_id for record_id, votes in self.votes().items() if len({vote.label for vote in votes.values()}) > 1}


def fold(decisions: Iterable[Decision], texts: Mapping[str, str] | None = None) -> ReviewState:
    """The state after a log. With `texts` (record_id to SHA-256) undos still count, but decisions on another text do not stand."""
    state = ReviewState()
    for decision in decisions:
        state.add(decision)
    if texts is not None:
        state.standing = {reviewer: [each for each in mine if texts.get(each.record_id) == each.text_sha256] for reviewer, mine in state.standing.items()}
    return state


def text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
