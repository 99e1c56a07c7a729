"""What a source says, and what reading it gives (models; no I/O)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, field_validator

from stack.pipelines.base import Frozen, Name
from stack.pipelines.errors import PipelineError

Format = Literal["csv", "jsonl", "parquet", "text", "html", "pdf", "eml", "warc"]
SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "text",
    ".html": "html",
    ".htm": "html",
    ".pdf": "pdf",
    ".eml": "eml",
    ".warc": "warc",
}
MAX_DETAIL = 80
"""Characters of a detail: it may quote the record, and the quarantine file must not become a copy of it."""


class Source(Frozen):
    """Records of one origin and where they may be used: a dataset whose licence is unknown is not a dataset."""

    name: Name
    path: str = Field(min_length=1, description="A file, a folder, a glob, or an fsspec address (s3://, gs://, hdfs://); relative to the pipeline file")
    format: Format | Literal["auto"] = Field(default="auto", description="auto goes by the suffix of each file")
    per: Literal["record", "file"] = Field(default="record", description="For text: one record per line, or per file")
    text: str = Field(default="text", description="Column with the text")
    gold: str | None = Field(default=None, description="Column with the human label, if there is one")
    id: str | None = Field(default=None, description="Column with the publisher's own id, if there is one")
    language: str = Field(default="", description="BCP 47 tag of the texts")
    licence: str = Field(min_length=1, description="SPDX identifier")
    origin: str = Field(min_length=1, description="Where the records come from: address and version")
    credit: str = Field(default="", description="Who is to be named")
    consent: str = Field(default="", description="How the people in the records agreed")
    max_record_bytes: int = Field(default=1 << 20, ge=1, description="A longer record is left out as too_long")

    @field_validator("path", mode="before")
    @classmethod
    def _path_as_text(cls, path: Any) -> Any:
        return str(path) if isinstance(path, Path) else path

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read, each once."""
        return tuple(dict.fromkeys(column for column in (self.text, self.gold, self.id) if column is not None))


@dataclass(frozen=True)
class Split:
    """A piece of a source. `start` and `end` are bytes (of the decompressed file; of the file itself for WARC), or rows counted from the
    first of `groups` for Parquet; `end` None is the end of the file. Formats with one record per file list several `paths`. A file in a
    folder that no reader knows is one bad row: `unknown`."""

    source: str
    paths: tuple[str, ...]
    format: Format | Literal["unknown"]
    first_row: int
    rows: int
    compression: Literal["", "gzip"] = ""
    start: int = 0
    end: int | None = None
    groups: tuple[int, ...] = ()

    @property
    def path(self) -> str:
        """The (first) file."""
        return self.paths[0]


class Row(NamedTuple):
    """A record as it was found; `row` counts the source's records from 0, bad ones included."""

    row: int
    text: str
    gold: str | None
    source_id: str | None
    language: str
    extra: dict[str, Any]


class Bad(NamedTuple):
    """A record that cannot be used: malformed, too_long, not_utf8 or unreadable."""

    row: int
    reason: str
    detail: str


class Fault(Exception):  # noqa: N818 -- it is data of a record, not an error of the run
    """What is wrong with one record."""

    def __init__(self, reason: str, detail: object = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, " ".join(str(detail).split())[:MAX_DETAIL]

    def at(self, row: int) -> Bad:
        return Bad(row, self.reason, self.detail)


def format_of(source: Source, path: str) -> tuple[Format, Literal["", "gzip"]]:
    """Format and compression of a file. PipelineError when the suffix does not tell, or the format is not read from .gz."""
    name = path.rsplit("/", 1)[-1].lower()
    gzipped = name.endswith(".gz")
    suffix = Path(name.removesuffix(".gz")).suffix
    kind = SUFFIXES.get(suffix) if source.format == "auto" else source.format
    if kind is None:
        raise PipelineError(f"source `{source.name}`: the suffix of {name} is unknown: set `format` to one of {', '.join(sorted(set(SUFFIXES.values())))}")
    if gzipped and kind == "parquet":  # it is compressed inside, and read from its end
        raise PipelineError(f"source `{source.name}`: {name}: {kind} is not read from .gz: decompress it first")
    return kind, "gzip" if gzipped else ""


def label_text(value: Any) -> str | None:
    """A label or an id as text; None and "" are none."""
    return None if value is None or value == "" else str(value)
