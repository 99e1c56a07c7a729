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

# index, unit, turn, intended, due, dispatched, sent, closed, outcome, resent, warm-up, number of reads, length of the detail
HEADER = struct.Struct("<qqiqqqqqBBBII")
BUFFER = 1 << 20
SPOOL = ".spool"
"""Raw exchanges of a worker while the run lasts: SPOOL.<worker> in the run's folder."""


@dataclass(frozen=True)
class RawExchange:
    """What the client saw of one request; stamps in ns of the monotonic clock, `sent_ns` 0 when it never was."""

    index: int
    unit: int
    turn: int
    intended_ns: int
    due_ns: int
    dispatched_ns: int
    sent_ns: int
    closed_ns: int
    outcome: Outcome
    resent: bool
    warmup: bool
    detail: str
    reads: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True)
class SpoolFile:
    """What one worker left; `clock_offset_ns` is taken off its stamps."""

    path: Path
    worker: int = 0
    clock_offset_ns: int = 0


class Spool:
    """Appends exchanges to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._out: BinaryIO = path.open("wb", buffering=BUFFER)

    def append(self, exchange: Exchange) -> int:
        """Returns how many bytes the server had sent."""
        detail = exchange.detail.encode(errors="replace")
        lengths = array("I", map(len, exchange.reads))
        head = HEADER.pack(
            exchange.index,
            exchange.unit,
            exchange.turn,
            exchange.intended_ns,
            exchange.due_ns,
            exchange.dispatched_ns,
            exchange.sent_ns,
            exchange.closed_ns,
            exchange.outcome,
            exchange.resent,
            exchange.warmup,
            len(lengths),
            len(detail),
        )
        self._out.write(b"".join((head, exchange.stamps.tobytes(), lengths.tobytes(), detail, *exchange.reads)))
        return sum(lengths)

    def flush(self) -> None:
        """Hand everything to the kernel: what is written before this survives the process, however it ends."""
        self._out.flush()

    def close(self) -> None:
        self._out.close()


def read_spool(path: Path) -> Iterator[RawExchange]:
    """All whole exchanges in the order in which they ended; a last one that was cut off is left out."""
    with path.open("rb") as source:
        while len(head := source.read(HEADER.size)) == HEADER.size:
            index, unit, turn, intended, due, dispatched, sent, closed, outcome, resent, warmup, count, detail_length = HEADER.unpack(head)
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
                unit=unit,
                turn=turn,
                intended_ns=intended,
                due_ns=due,
                dispatched_ns=dispatched,
                sent_ns=sent,
                closed_ns=closed,
                outcome=Outcome(outcome),
                resent=bool(resent),
                warmup=bool(warmup),
                detail=rest[:detail_length].decode(),
                reads=tuple(zip(stamps, _cut(rest, detail_length, lengths), strict=True)),
            )


def _cut(data: bytes, start: int, lengths: "array[int]") -> Iterator[bytes]:
    for length in lengths:
        yield data[start : start + length]
        start += length
