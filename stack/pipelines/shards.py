"""One shard of one phase: the unit of work that a task prepares in a folder of its own and the run commits by renaming it (edge).

Only the run, which holds the lock of the output folder, renames. So a task that outlives a killed run, or runs twice, can leave a
stray temporary folder but never touch what is committed.
"""

import errno
import gc
import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from json.encoder import encode_basestring as quoted
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stack.evidence import canonical_json
from stack.pipelines.base import Batch, DatasetStage, Dropped, RecordStage, Work
from stack.pipelines.errors import PipelineError
from stack.pipelines.frames import apply_decision, repetitive, to_batch, to_table
from stack.pipelines.manifest import Line, folder_digest
from stack.pipelines.readers import Source, Split, read_split
from stack.pipelines.trail import apply_noted, begin
from stack.runtime.files import sync

DATA, SKETCH, DROPPED, NOTES = "data.parquet", "sketch.parquet", "dropped.jsonl", "notes"
STRAY = ".shard-*"
ID_LENGTH = 32
OBJECTS_BETWEEN_COLLECTIONS = 100_000


@dataclass(frozen=True)
class ReadPiece:
    """Records that are still in their source; a gold label must be among `labels`, if there are any."""

    source: Source
    split: Split
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Piece:
    """Records of a committed table, after the decisions that were made since: rows `start` to `end` of those that stayed."""

    data: Path
    decisions: tuple[Path, ...] = ()
    start: int = 0
    end: int | None = None


@dataclass(frozen=True)
class ShardTask:
    """All that a worker needs, wherever it runs; `folder` is on storage that run and workers share. `address` stands for all that decides the result."""

    phase: str
    shard: int
    address: str
    inputs: tuple[ReadPiece, ...] | tuple[Piece, ...]
    stages: tuple[RecordStage, ...]
    sketch: DatasetStage | None
    writes: bool
    work: Work
    folder: Path
    records: int

    @property
    def name(self) -> str:
        return f"shard-{self.shard:05d}"


@dataclass(frozen=True)
class Draft:
    """A shard that is written and synced but not committed."""

    temporary: Path
    line: Line


def run_shard(task: ShardTask) -> Draft:
    """Read, run the stages, sketch, write; runs in a worker. PipelineError for what the user can mend."""
    with _collecting_seldom():
        return _run_shard(task)


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """A shard makes many small objects that all live until it ends and hardly a cycle: looking for those every 700 costs a tenth of its time."""
    before = gc.get_threshold()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _run_shard(task: ShardTask) -> Draft:
    batch = _batch(task)
    read = len(batch) + len(batch.dropped)
    for stage in task.stages:
        apply_noted(stage, batch, task.work)
    temporary = Path(tempfile.mkdtemp(dir=task.folder, prefix=f".{task.name}."))
    try:
        return Draft(temporary, _written(task, batch, temporary, read))
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise PipelineError(f"no room left at {task.folder}: free some and run the same command again to go on") from None
        raise
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def record_id(source: str, row: int, text: str) -> str:
    """First 32 hexadecimal digits of the SHA-256 of source, row and text as read."""
    # As canonical_json writes the three, without the encoder that it makes for every value.
    return hashlib.sha256(f"[{quoted(source)},{row},{quoted(text)}]".encode()).hexdigest()[:ID_LENGTH]


def load_piece(piece: Piece, columns: Sequence[str] | None = None) -> pa.Table:
    """The records that a piece stands for."""
    table = pq.read_table(piece.data, columns=columns)
    for path in piece.decisions:
        table = apply_decision(table, pq.read_table(path))
    return table.slice(piece.start, None if piece.end is None else piece.end - piece.start)


def json_lines(rows: Iterable[Any]) -> bytes:
    return b"".join(canonical_json(row) + b"\n" for row in rows)


def _batch(task: ShardTask) -> Batch:
    first = task.inputs[0]
    if isinstance(first, ReadPiece):
        return _read(first)
    return to_batch(pa.concat_tables([load_piece(piece) for piece in task.inputs if isinstance(piece, Piece)], promote_options="permissive"))


def _read(piece: ReadPiece) -> Batch:
    name = piece.source.name
    rows, bad = read_split(piece.source, piece.split)
    known = set(piece.labels)
    for row in rows:
        if known and row.gold is not None and row.gold not in known:
            file = piece.split.path.rsplit("/", 1)[-1]
            column = piece.source.gold
            raise PipelineError(f"{file}: row {row.row}: gold label {row.gold!r} in column `{column}` is not among `labels`: {', '.join(piece.labels)}")
    batch = Batch(
        {
            "record_id": [record_id(name, row.row, row.text) for row in rows],
            "source": [name] * len(rows),
            "row": [row.row for row in rows],
            "source_id": [row.source_id for row in rows],
            "language": [row.language for row in rows],
            "text": [row.text for row in rows],
            "gold": [row.gold for row in rows],
        },
        dropped=[Dropped(name, each.row, each.reason, each.detail, stage="read") for each in bad],
    )
    begin(batch)
    batch.drop({position: ("empty", "") for position, text in enumerate(batch.texts) if not text or text.isspace()}, stage="read")
    return batch


def _written(task: ShardTask, batch: Batch, folder: Path, read: int) -> Line:
    table = to_table(batch) if task.writes else None
    if table is not None:
        pq.write_table(table, folder / DATA, compression="zstd", use_dictionary=repetitive(table.schema), write_statistics=False)
    if task.sketch is not None:
        pq.write_table(task.sketch.sketch(batch, task.work), folder / SKETCH, compression="none")
    if batch.dropped:
        (folder / DROPPED).write_bytes(json_lines(asdict(each) for each in batch.dropped))
    for name, rows in batch.notes.items():
        (folder / NOTES).mkdir(exist_ok=True)
        (folder / NOTES / f"{name}.jsonl").write_bytes(json_lines(rows))
    for path in [*folder.rglob("*"), folder]:
        sync(path)
    return Line(
        phase=task.phase,
        part="shard",
        shard=task.shard,
        address=task.address,
        sha256=folder_digest(folder),
        read=read,
        records=len(batch),
        tokens=sum(sum(values) for name, values in batch.columns.items() if name.endswith(("_prompt_tokens", "_completion_tokens"))),
    )
