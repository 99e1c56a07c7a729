"""The reviewers' desk: what each may see, and their decisions, over one dataset and its open log (no HTTP here)."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stack.pipelines.errors import PipelineError
from stack.pipelines.review.decisions import MAX_LABEL, MAX_NOTE, Decision, Kind, RecordId, Reviewer, ReviewState, fold
from stack.pipelines.review.log import ReviewLog
from stack.pipelines.review.queue import Dataset, Item

MAX_SHOWN = 50_000
"""Characters of one text that the page shows."""


class Asked(BaseModel):
    """What the page posts to decide."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reviewer: Reviewer
    kind: Literal["vote", "adjudication"] = "vote"
    record_id: RecordId
    label: Annotated[str, Field(max_length=MAX_LABEL)] | None = None
    note: str = Field(default="", max_length=MAX_NOTE)


class Desk:
    """State is the fold of the log; each decision is on disk before it counts."""

    def __init__(self, dataset: Dataset, log: ReviewLog) -> None:
        self.dataset = dataset
        self._log = log
        self._digests = dataset.text_digests
        self._position = {item.record_id: position for position, item in enumerate(dataset.items)}
        # Kept in whole, so that an undo takes back what came last even when that text has changed since.
        self._all = fold(log.decisions)

    @property
    def state(self) -> ReviewState:
        """What stands of the texts as they are now."""
        kept = {who: [each for each in mine if self._digests.get(each.record_id) == each.text_sha256] for who, mine in self._all.standing.items()}
        return ReviewState(kept)

    def progress(self, reviewer: str) -> dict[str, Any]:
        """Counts of one reviewer; `next` is the position of the first record they have neither voted on nor skipped."""
        state = self.state
        mine = state.of(reviewer)
        skipped = sum(decision.label is None for decision in mine.values())
        return {
            "total": len(self.dataset.items),
            "voted": len(mine) - skipped,
            "skipped": skipped,
            "left": len(self.dataset.items) - len(mine),
            "disputed": len(state.disputed() - set(state.settled())),
            "next": next((position for position, item in enumerate(self.dataset.items) if item.record_id not in mine), None),
            "can_undo": self._all.last(reviewer) is not None,
        }

    def record(self, reviewer: str, position: int, *, show_votes: bool) -> dict[str, Any]:
        """The record at a position; the labelers' votes, label and gold only after this reviewer's own vote, unless asked for."""
        if not 0 <= position < len(self.dataset.items):
            raise PipelineError(f"field `position`: must be from 0 to {len(self.dataset.items) - 1}")
        item = self.dataset.items[position]
        mine = self.state.of(reviewer).get(item.record_id)
        shown = show_votes or (mine is not None and mine.label is not None)
        return {**_seen(item), "position": position, "mine": _brief(mine), "labelers": _labelers(item) if shown else None}

    def disputes(self) -> list[dict[str, Any]]:
        """Records on which reviewers differ and that nobody has settled, in the order of need, with all votes."""
        state = self.state
        votes, open_ids = state.votes(), state.disputed() - set(state.settled())
        positions = sorted(self._position[record_id] for record_id in open_ids)
        items = [(position, self.dataset.items[position]) for position in positions]
        return [
            {
                **_seen(item),
                "position": position,
                "people": {who: _brief(vote) for who, vote in votes[item.record_id].items()},
                "labelers": _labelers(item),
            }
            for position, item in items
        ]

    def decide(self, asked: Asked) -> Decision:
        """Written and synced when it returns. PipelineError names the field that does not fit."""
        digest = self._digests.get(asked.record_id)
        if digest is None:
            raise PipelineError("field `record_id`: this dataset has no such record")
        if asked.label is not None and asked.label not in self.dataset.labels:
            raise PipelineError(f"field `label`: must be one of {', '.join(self.dataset.labels)}")
        if asked.kind == "adjudication" and asked.label is None:
            raise PipelineError("field `label`: an adjudication needs a label")
        return self._append(Kind(asked.kind), asked.record_id, digest, asked.reviewer, asked.label, asked.note)

    def undo(self, reviewer: str) -> int | None:
        """Take back the reviewer's last decision that stands; the record's position, None when it has left the dataset."""
        last = self._all.last(reviewer)
        if last is None:
            raise PipelineError("there is nothing of yours to undo")
        self._append(Kind.UNDO, last.record_id, last.text_sha256, reviewer, None, "")
        return self._position.get(last.record_id)

    def _append(self, kind: Kind, record_id: str, digest: str, reviewer: str, label: str | None, note: str) -> Decision:
        decision = self._log.append(kind=kind, record_id=record_id, text_sha256=digest, reviewer=reviewer, label=label, note=note)
        self._all.add(decision)
        return decision


def _seen(item: Item) -> dict[str, Any]:
    hidden = max(0, len(item.text) - MAX_SHOWN)
    return {"record_id": item.record_id, "text": item.text[:MAX_SHOWN], "hidden": hidden, "language": item.language, "source": item.source}


def _labelers(item: Item) -> dict[str, Any]:
    return {"votes": item.votes, "label": item.label, "probability": item.probability, "gold": item.gold}


def _brief(decision: Decision | None) -> dict[str, Any] | None:
    return None if decision is None else {"label": decision.label, "note": decision.note}
