"""Where WARC records lie in a file, and their bytes: the framing alone (edge).

Our own, since readers at large pass over a broken gzip member or a wrong Content-Length in silence, and what is lost must be counted.
ISO 28500: a version line, headers, a blank line, Content-Length bytes, two line ends; in .gz each record is a member of its own.
"""

import re
import zlib
from collections.abc import Iterator
from typing import IO

from stack.pipelines.readers.documents import MAX_DOCUMENT_BYTES
from stack.pipelines.readers.files import CHUNK, GZIP_CHUNK
from stack.pipelines.readers.models import Fault

HEAD_BYTES = 1 << 20
KEPT_BYTES = MAX_DOCUMENT_BYTES + 2 * HEAD_BYTES
"""Of a longer record only its beginning is kept: enough to tell what it is and that it is too long."""
VERSION = b"WARC/"
END = b"\r\n\r\n"
GZIP_MEMBER = b"\x1f\x8b\x08"
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)

Frame = tuple[int, bytes | Fault]


def frames(stream: IO[bytes], gzipped: bool, start: int) -> Iterator[Frame]:
    """(offset, record or Fault), one for each place where a record begins or should; after a broken one from the next that looks like one."""
    offset: int | None = start
    while offset is not None:
        following: int | None
        try:
            record, following = _member(stream, offset) if gzipped else _plain(stream, offset)
        except Fault as fault:
            yield offset, fault
            following = _next_member(stream, offset + 1) if gzipped else _next_plain(stream, offset + 1)
        else:
            if record is None:
                return
            yield offset, record
        offset = following


def _member(stream: IO[bytes], offset: int) -> tuple[bytes | None, int]:
    """The record of the gzip member at `offset` and where the next one begins; None at the end of the file."""
    stream.seek(offset)
    inflate, held, size = zlib.decompressobj(31), bytearray(), 0
    data = stream.read(GZIP_CHUNK)
    if not data:
        return None, offset
    try:
        while not inflate.eof:
            if not data:
                raise Fault("unreadable", f"WARC record at byte {offset}: the file ends early")
            out = inflate.decompress(data, CHUNK)
            size += len(out)
            held += out[: KEPT_BYTES - len(held)]
            data = inflate.unconsumed_tail or (b"" if inflate.eof else stream.read(GZIP_CHUNK))
    except zlib.error as error:
        raise Fault("unreadable", f"WARC record at byte {offset}: {error}") from None
    record = bytes(held)
    end = _end_of_record(record, offset)
    if end > size:
        raise Fault("unreadable", f"WARC record at byte {offset}: Content-Length goes beyond it")
    if record[end:].lstrip(b"\r\n").startswith(VERSION):
        raise Fault("unreadable", "several records in one gzip member: run warcio recompress")
    return record, stream.tell() - len(inflate.unused_data)


def _plain(stream: IO[bytes], offset: int) -> tuple[bytes | None, int]:
    """The record at `offset` of an uncompressed file and where the next one begins; None at the end of the file."""
    stream.seek(offset)
    head = stream.read(HEAD_BYTES)
    if not head.strip(b"\r\n"):
        return None, offset
    end = _end_of_record(head, offset)
    kept = min(end, KEPT_BYTES)
    record = head[:kept] + stream.read(max(0, kept - len(head)))
    stream.seek(offset + end)
    after = stream.read(len(END) + len(VERSION))
    rest = after.lstrip(b"\r\n")
    if len(record) < kept or len(after) < len(END) or (rest and not rest.startswith(VERSION)):
        raise Fault("unreadable", f"WARC record at byte {offset}: Content-Length is wrong or the file ends early")
    return record, offset + end + len(after) - len(rest)


def _end_of_record(data: bytes, offset: int) -> int:
    """Length of headers and body as the headers say."""
    head = data.find(END, 0, HEAD_BYTES)
    length = _LENGTH.search(data, 0, head + 2) if head >= 0 and data.startswith(VERSION) else None
    if length is None:
        raise Fault("unreadable", f"WARC record at byte {offset}: no WARC header")
    return head + len(END) + int(length.group(1))


def _next_plain(stream: IO[bytes], start: int) -> int | None:
    found = next(_found(stream, start, END + VERSION), None)
    return None if found is None else found + len(END)


def _next_member(stream: IO[bytes], start: int) -> int | None:
    """The next gzip member that begins like a WARC record; the three bytes of its mark alone also occur by chance."""
    for found in _found(stream, start, GZIP_MEMBER):
        stream.seek(found)
        try:
            if zlib.decompressobj(31).decompress(stream.read(GZIP_CHUNK), len(VERSION)) == VERSION:
                return found
        except zlib.error:
            continue
    return None


def _found(stream: IO[bytes], start: int, mark: bytes) -> Iterator[int]:
    """Offsets of the mark."""
    position, held = start, b""
    while True:
        stream.seek(position + len(held))
        chunk = stream.read(CHUNK)
        if not chunk:
            return
        data = held + chunk
        at = data.find(mark)
        while at >= 0:
            yield position + at
            at = data.find(mark, at + 1)
        keep = len(mark) - 1
        position, held = position + len(data) - len(data[-keep:]), data[-keep:]
