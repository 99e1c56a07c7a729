"""Which items of a call are shown by evidence, which only stated, which missing (logic)."""

from collections.abc import Sequence
from enum import StrEnum

from stack.evidence import Record
from stack.evidence.record import Frozen
from stack.proposal.document import Proposal
from stack.proposal.profile import CallProfile, Item, Part, Source


class Status(StrEnum):
    """Of a part: evidence, declared or missing. An item with some parts missing is partial."""

    EVIDENCE = "evidence"
    DECLARED = "declared"
    PARTIAL = "partial"
    MISSING = "missing"


class PartCoverage(Frozen):
    asks: str
    status: Status
    evidence: tuple[str, ...] = ()
    """Ids of the records that count."""
    statement: tuple[str, ...] = ()


class ItemCoverage(Frozen):
    id: str
    title: str
    asks: str
    mandatory: bool
    source: Source
    status: Status
    parts: tuple[PartCoverage, ...]


def cover(profile: CallProfile, proposal: Proposal, records: Sequence[Record]) -> tuple[ItemCoverage, ...]:
    """One row for each item of the profile, in its order."""
    return tuple(_cover_item(item, profile.sources[item.source], proposal, records) for item in profile.items)


def missing(coverage: Sequence[ItemCoverage]) -> tuple[str, ...]:
    """What a mandatory item still lacks, one line for each part."""
    return tuple(f"{item.id} {part.asks}" for item in coverage if item.mandatory for part in item.parts if part.status is Status.MISSING)


def _cover_item(item: Item, source: Source, proposal: Proposal, records: Sequence[Record]) -> ItemCoverage:
    parts = tuple(_cover_part(part, proposal, records) for part in item.parts)
    return ItemCoverage(
        id=item.id, title=item.title, asks=item.asks, mandatory=item.mandatory, source=source, status=_together([part.status for part in parts]), parts=parts
    )


def _cover_part(part: Part, proposal: Proposal, records: Sequence[Record]) -> PartCoverage:
    if part.statement is None:
        found = tuple(record.id for record in records if record.kind in part.evidence)
        return PartCoverage(asks=part.asks, status=Status.EVIDENCE if found else Status.MISSING, evidence=found)
    said = proposal.statement(part.statement)
    return PartCoverage(asks=part.asks, status=Status.DECLARED if said else Status.MISSING, statement=said)


def _together(parts: Sequence[Status]) -> Status:
    """An item is no better than its parts: evidence only when nothing of it is missing, declared when words are all there is."""
    if all(status is Status.MISSING for status in parts):
        return Status.MISSING
    if Status.MISSING in parts:
        return Status.PARTIAL
    return Status.EVIDENCE if Status.EVIDENCE in parts else Status.DECLARED
