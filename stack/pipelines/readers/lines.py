"""Lines and CSV records out of chunks of bytes, in bounded memory, however long a line is (pure).

Planning and reading both go through `csv_records`, so that a file is cut exactly where it is read.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stack.pipelines.readers.models import Fault

BOM = b"\xef\xbb\xbf"
_FIELD = rb'(?:"(?:[^"]++|"")*+"|[^",][^,]*+|)'
_REST = rb"(?:," + _FIELD + rb")*+"
_OPENED = rb'"(?:[^"]++|"")*+\Z'
_CLOSED = re.compile(_FIELD + _REST + rb"\r?\Z")
_OPEN = re.compile(rb"(?:" + _FIELD + rb"(?:," + _FIELD + rb")*?,)?" + _OPENED)
_STILL_OPEN = re.compile(rb'(?:[^"]++|"")*+\Z')
_CLOSED_AFTER = re.compile(rb'(?:[^"]++|"")*+"' + _REST + rb"\r?\Z")
_OPEN_AFTER = re.compile(rb'(?:[^"]++|"")*+"(?:,' + _FIELD + rb")*?," + _OPENED)


@dataclass
class Long:
    """A line longer than the limit, of which only this is kept."""

    size: int = 0
    quotes: int = 0

    def add(self, piece: bytes) -> "Long":
        self.size += len(piece)
        self.quotes += piece.count(b'"')
        return self


Line = bytes | Long


def lines(chunks: Iterable[bytes], limit: int) -> Iterator[Line]:
    """Lines without their newline; one longer than `limit` bytes is dropped as it comes."""
    held, long = b"", None
    some = False
    for chunk in chunks:
        parts = chunk.split(b"\n")
        for position, part in enumerate(parts):
            if position:
                yield long if long is not None else held
                held, long = b"", None
            if long is not None:
                long.add(part)
            elif len(held) + len(part) > limit:
                long, held = Long().add(held).add(part), b""
            else:
                held = held + part if held else part
        some = bool(parts[-1]) or (some and len(parts) == 1)
    if some:
        yield long if long is not None else held


def size(line: Line) -> int:
    """Bytes of the line in the file, newline included."""
    return (line.size if isinstance(line, Long) else len(line)) + 1


def too_long(bytes_read: int, limit: int) -> Fault:
    return Fault("too_long", f"{bytes_read} bytes, max_record_bytes is {limit}")


def csv_records(source: Iterable[Line], limit: int) -> Iterator[tuple[bytes | Fault, int]]:
    """Records (RFC 4180, newlines inside quotes kept) and the bytes each took with blank lines before it.

    A quote that is opened and never closed, or closed in the middle of a field, spoils the line it stands in; the next line is read
    afresh. A quoted field longer than the limit is skipped up to its closing quote: its lines are never taken for records.
    """
    feed = _Feed(source)
    for line in feed:
        if line in (b"", b"\r"):
            continue
        if (isinstance(line, bytes) and b'"' not in line) or (isinstance(line, bytes) and _CLOSED.match(line)):
            yield line, feed.taken()
        elif isinstance(line, Long) or _OPEN.match(line):
            yield _quoted(line, feed, limit), feed.taken()
        else:
            yield Fault("malformed", "a quote inside a field"), feed.taken()


class _Feed:
    """Lines that can be put back, and how many bytes were taken since it was last asked."""

    def __init__(self, source: Iterable[Line]) -> None:
        self._source, self._back, self._bytes = iter(source), deque[Line](), 0

    def __iter__(self) -> Iterator[Line]:
        while (line := self.next()) is not None:
            yield line

    def next(self) -> Line | None:
        line = self._back.popleft() if self._back else next(self._source, None)
        self._bytes += 0 if line is None else size(line)
        return line

    def put_back(self, some: list[bytes]) -> None:
        self._back.extendleft(reversed(some))
        self._bytes -= sum(size(line) for line in some)

    def taken(self) -> int:
        count, self._bytes = self._bytes, 0
        return count


def _quoted(first: Line, feed: _Feed, limit: int) -> bytes | Fault:
    """The record that begins with `first`, whose quote is still open (or unknown, for a line that was too long)."""
    if isinstance(first, Long):
        return _skip(feed, first.size, limit) if first.quotes % 2 else too_long(first.size, limit)
    held, held_bytes = [first], len(first)
    while (line := feed.next()) is not None:
        held_bytes += size(line)
        if isinstance(line, Long):
            return too_long(held_bytes, limit) if line.quotes % 2 else _skip(feed, held_bytes, limit)
        still_open = bool(_STILL_OPEN.match(line) or _OPEN_AFTER.match(line))
        if held_bytes > limit:
            return _skip(feed, held_bytes, limit) if still_open else too_long(held_bytes, limit)
        held.append(line)
        if still_open:
            continue
        if _CLOSED_AFTER.match(line):
            return b"\n".join(held)
        break
    feed.put_back([line for line in held[1:] if isinstance(line, bytes)])
    return Fault("malformed", "a quote is opened and not closed")


def _skip(feed: _Feed, skipped: int, limit: int) -> Fault:
    """Pass over the rest of a quoted field that is too long already."""
    while (line := feed.next()) is not None:
        skipped += size(line)
        if line.quotes % 2 if isinstance(line, Long) else not (_STILL_OPEN.match(line) or _OPEN_AFTER.match(line)):
            break
    return too_long(skipped, limit)
