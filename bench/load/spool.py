"""Raw exchanges on disk: appended while the run lasts, so that memory holds only what is in flight, and read back after it (edge).

One exchange is a fixed header, its stamps and read lengths, the detail text, and the bytes as they were read.
"""

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bench.load.exchange import Exchange, Outcome

# index, intended, dispatched, sent, closed, outcome, resent, number of reads, length of the detail
HEADER = struct.Struct("<qqqqqBBII")
BUFFER = 1 << 20


@dataclass(frozen=True)
class RawExchange:
    """What the client saw of one request; stamps in ns of the monotonic clock, `sent_ns` 0 when it never was."""

    index: int
    intended_ns: int
    dispatched_ns: int
    sent_ns: int
    closed_ns: int
    outcome: Outcome
    resent: bool
    detail: str
    reads: tuple[tuple[int, bytes], ...]


class Spool:
    """Appends exchanges to a file."""

    def __init__(self, path: Path) -> None:
        self._out: BinaryIO = path.open("wb", buffering=BUFFER)

    def append(self, exchange: Exchange) -> None:
        detail = exchange.detail.encode(errors="replace")
        lengths = array("I", map(len, exchange.reads))
        head = HEADER.pack(
            exchange.index,
            exchange.intended_ns,
            exchange.dispatched_ns,
            exchange.sent_ns,
            exchange.closed_ns,
            exchange.outcome,
            exchange.resent,
            len(lengths),
            len(detail),
        )
        self._out.write(b"".join((head, exchange.stamps.tobytes(), lengths.tobytes(), detail, *exchange.reads)))

    def close(self) -> None:
        self._out.close()


def read_spool(path: Path) -> Iterator[RawExchange]:
    """All whole exchanges in the order in which they ended; a last one that was cut off is left out."""
    with path.open("rb") as source:
        while len(head := source.read(HEADER.size)) == HEADER.size:
            index, intended, dispatched, sent, closed, outcome, resent, count, detail_length = HEADER.unpack(head)
            stamps, lengths = array("q"), array("I")
            table = source.read(count * (stamps.itemsize + lengths.itemsize))
            if len(table) < count * (stamps.itemsize + lengths.itemsize):
                return
            stamps.frombytes(table[: count * stamps.itemsize])
            lengths.frombytes(table[count * stamps.itemsize :])
            rest = source.read(detail_length + sum(lengths))
            if len(rest) < detail_length + sum(lengths):
                return
            yield RawExchange(
                index=index,
                intended_ns=intended,
                dispatched_ns=dispatched,
                sent_ns=sent,
                closed_ns=closed,
                outcome=Outcome(outcome),
                resent=bool(resent),
                detail=rest[:detail_length].decode(),
                reads=tuple(zip(stamps, _cut(rest, detail_length, lengths), strict=True)),
            )


def _cut(data: bytes, start: int, lengths: "array[int]") -> Iterator[bytes]:
    for length in lengths:
        yield data[start : start + length]
        start += length
