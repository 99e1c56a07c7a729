"""WARC: pages (responses of text/html and text/plain, and texts a crawler extracted) with their addresses; other records are passed over."""

import io
from collections.abc import Iterator
from typing import IO, NamedTuple

from stack.pipelines.readers.documents import MAX_DOCUMENT_BYTES, decode_as, html_document
from stack.pipelines.readers.lines import BOM, too_long
from stack.pipelines.readers.models import Fault, Row, Source, Split
from stack.pipelines.readers.tables import Result, checked, collect
from stack.pipelines.readers.warc_frames import frames

PAGES = ("text/html", "application/xhtml+xml", "text/plain")


class Page(NamedTuple):
    """The body as the server meant it: chunks joined, content encoding undone."""

    url: str
    kind: str
    charset: str
    body: bytes


def plan_warc(stream: IO[bytes], gzipped: bool, records: int) -> list[tuple[int, int | None, int]]:
    """(start, end, rows) by the offsets of the records; `end` None is the end of the file."""
    starts: list[int] = []
    rows = 0
    for offset, _ in _pages(stream, gzipped, 0):
        if rows % records == 0:
            starts.append(offset)
        rows += 1
    ends = [*starts[1:], None]
    return [(start, end, min(records, rows - at * records)) for at, (start, end) in enumerate(zip(starts, ends, strict=True))] if rows else []


def read_warc(source: Source, stream: IO[bytes], split: Split) -> Result:
    """Pages of the split. A broken record is one bad row; reading goes on at the next one."""

    def one(row: int, page: Page | Fault) -> Row:
        if isinstance(page, Fault):
            raise page
        if len(page.body) > MAX_DOCUMENT_BYTES:
            raise too_long(len(page.body), MAX_DOCUMENT_BYTES)
        plain = page.kind == "text/plain"
        text = decode_as(page.body.removeprefix(BOM), page.charset or "utf-8") if plain else html_document(page.body, page.charset)[0]
        if (length := len(text.encode())) > source.max_record_bytes:
            raise too_long(length, source.max_record_bytes)
        return Row(row, checked(text), None, page.url, source.language, {})

    pages = (page for offset, page in _pages(stream, split.compression == "gzip", split.start) if split.end is None or offset < split.end)
    return collect(zip(range(split.first_row, split.first_row + split.rows), pages, strict=False), one, split.first_row)


def _pages(stream: IO[bytes], gzipped: bool, start: int) -> Iterator[tuple[int, Page | Fault]]:
    """Offset of each page or broken record; no two have the same one."""
    for offset, record in frames(stream, gzipped, start):
        found = record if isinstance(record, Fault) else _page(record, offset)
        if found is not None:
            yield offset, found


def _page(data: bytes, offset: int) -> Page | Fault | None:
    from warcio.archiveiterator import ArchiveIterator

    try:
        record = next(iter(ArchiveIterator(io.BytesIO(data))))
        if record.rec_type == "response" and record.http_headers is not None:
            media = record.http_headers.get_header("Content-Type")
        elif record.rec_type == "conversion":
            media = record.rec_headers.get_header("Content-Type")
        else:
            return None
        kind, _, parameters = (media or "").partition(";")
        kind = kind.strip().lower()
        if kind not in PAGES:
            return None
        charset = parameters.partition("charset=")[2].split(";")[0].strip(" \"'")
        return Page(str(record.rec_headers.get_header("WARC-Target-URI") or ""), kind, charset, record.content_stream().read(MAX_DOCUMENT_BYTES + 1))
    except Exception as error:  # header, chunk and encoding faults of strangers' files
        return Fault("unreadable", f"WARC record at byte {offset}: {type(error).__name__}: {error}")
