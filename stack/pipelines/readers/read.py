"""Read a split (edge)."""

from collections.abc import Callable

from stack.pipelines.errors import PipelineError
from stack.pipelines.readers.documents import MAX_DOCUMENT_BYTES, Document, eml_document, html_document, pdf_document, plain_document
from stack.pipelines.readers.files import chunks, open_file
from stack.pipelines.readers.lines import lines, too_long
from stack.pipelines.readers.models import Fault, Row, Source, Split
from stack.pipelines.readers.parquet import read_parquet
from stack.pipelines.readers.tables import Result, checked, collect, csv_columns, read_csv, read_jsonl, read_text
from stack.pipelines.readers.warc import read_warc

DOCUMENTS: dict[str, Callable[[bytes], Document]] = {"text": plain_document, "html": html_document, "pdf": pdf_document, "eml": eml_document}


def read_split(source: Source, split: Split) -> Result:
    """The rows of a split, and those that cannot be used; together they are `split.rows`.

    PipelineError when a file went away or holds another number of rows than when it was planned.
    """
    if split.format == "unknown":
        return [], [Fault("unreadable", f"no reader for {_name_within(source, split.path)}").at(split.first_row)]
    rows, bad = _read_documents(source, split) if split.format in DOCUMENTS and _whole_files(source, split) else _read_pieces(source, split)
    if len(rows) + len(bad) != split.rows:
        raise PipelineError(
            f"source `{source.name}`: {split.path} has changed since it was planned: {len(rows) + len(bad)} rows where {split.rows} were: run again"
        )
    return rows, bad


def _whole_files(source: Source, split: Split) -> bool:
    return split.format != "text" or source.per == "file"


def _read_pieces(source: Source, split: Split) -> Result:
    gzipped, limit = split.compression == "gzip", source.max_record_bytes
    with open_file(source, split.path) as stream:
        if split.format == "parquet":
            return read_parquet(source, stream, split)
        if split.format == "warc":
            return read_warc(source, stream, split)
        columns: list[str] = []
        if split.format == "csv":
            columns, _ = csv_columns(source, split.path, lines(chunks(stream, gzipped=gzipped), limit))
        found = lines(chunks(stream, gzipped=gzipped, start=split.start, end=split.end), limit)
        if split.format == "csv":
            return read_csv(source, found, split.first_row, columns)
        return read_jsonl(source, found, split.first_row) if split.format == "jsonl" else read_text(source, found, split.first_row)


def _read_documents(source: Source, split: Split) -> Result:
    """One record per file; its name within the source is the id."""
    parse = DOCUMENTS[split.format]

    def one(row: int, path: str) -> Row:
        with open_file(source, path) as stream:
            pieces, held = [], 0
            for piece in chunks(stream, gzipped=split.compression == "gzip"):
                pieces.append(piece)
                held += len(piece)
                if held > MAX_DOCUMENT_BYTES:
                    raise too_long(held, MAX_DOCUMENT_BYTES)
        text, extra = parse(b"".join(pieces))
        if (length := len(text.encode())) > source.max_record_bytes:
            raise too_long(length, source.max_record_bytes)
        return Row(row, checked(text), None, _name_within(source, path), source.language, extra)

    return collect(enumerate(split.paths, split.first_row), one, split.first_row)


def _name_within(source: Source, path: str) -> str:
    root = source.path.rstrip("/") + "/"
    name = path.removeprefix(root) if path.startswith(root) else path.rsplit("/", 1)[-1]
    return name.encode("utf-8", "backslashreplace").decode()
