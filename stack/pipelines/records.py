"""Records before they are labeled: identity, normalisation, exact duplicates, sharding (pure)."""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from stack.evidence import canonical_json
from stack.pipelines.spec import Normalise

ID_LENGTH = 32


@dataclass(frozen=True)
class Record:
    """One text and where it came from; `row` counts the source's records from 0, bad ones included."""

    source: str
    row: int
    text: str
    gold: str | None = None
    source_id: str | None = None
    language: str = ""

    @property
    def record_id(self) -> str:
        """First 32 hexadecimal digits of the SHA-256 of source, row and text."""
        return hashlib.sha256(canonical_json([self.source, self.row, self.text])).hexdigest()[:ID_LENGTH]


@dataclass(frozen=True)
class Dropped:
    """A record that was left out, and why: `malformed`, `empty` or `duplicate` (then `detail` is the record_id that was kept)."""

    source: str
    row: int
    reason: str
    detail: str = ""


def normalise(record: Record, how: Normalise) -> Record:
    text = record.text if how.unicode == "none" else unicodedata.normalize(how.unicode, record.text)
    return replace(record, text=" ".join(text.split()) if how.whitespace else text)


def drop_empty(records: Iterable[Record]) -> tuple[list[Record], list[Dropped]]:
    kept, dropped = [], []
    for record in records:
        if record.text.strip():
            kept.append(record)
        else:
            dropped.append(Dropped(record.source, record.row, "empty"))
    return kept, dropped


def drop_duplicates(records: Iterable[Record]) -> tuple[list[Record], list[Dropped]]:
    """Keep the first record of each text. Memory: one digest of 32 bytes and one id per record kept."""
    first: dict[bytes, str] = {}
    kept, dropped = [], []
    for record in records:
        digest = hashlib.sha256(record.text.encode()).digest()
        if digest in first:
            dropped.append(Dropped(record.source, record.row, "duplicate", first[digest]))
        else:
            first[digest] = record.record_id
            kept.append(record)
    return kept, dropped


def take(records: Sequence[Record], limit: int | None) -> list[Record]:
    """At most `limit` records, as evenly from the sources as they allow, in their old order."""
    if limit is None or len(records) <= limit:
        return list(records)
    seen: dict[str, int] = {}
    turns = []
    for position, record in enumerate(records):
        turns.append((seen.setdefault(record.source, 0), position))
        seen[record.source] += 1
    return [records[position] for position in sorted(position for _, position in sorted(turns)[:limit])]


def into_shards(records: Sequence[Record], size: int) -> list[tuple[Record, ...]]:
    return [tuple(records[start : start + size]) for start in range(0, len(records), size)]
