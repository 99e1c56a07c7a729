"""One shard: the unit of work that a task prepares and the run commits (edge).

A task writes its shard beside its final place and syncs it; only the run, which holds the folder's
lock, renames it and appends the manifest line. So a task that outlives a killed run, or runs twice,
can leave a stray temporary file but never touch what is committed.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from stack.evidence import canonical_json
from stack.pipelines.endpoint import ChatEndpoint
from stack.pipelines.labelers import Vote, vote
from stack.pipelines.records import Record
from stack.pipelines.spec import Frozen, Keywords, Labeler, labeler_digest
from stack.runtime.files import sha256_file, sync, write_atomic

LAYOUT = 1
"""Raise it when the columns of a shard change: shards of another layout are made again."""

MANIFEST = "manifest.jsonl"
FOLDER = "shards"
STRAY = ".shard-*.tmp"
WHOLE_NUMBERS = ("prompt_tokens", "completion_tokens")


@dataclass(frozen=True)
class ShardTask:
    """All that a worker needs, wherever it runs; `folder` is on storage that run and workers share."""

    index: int
    records: tuple[Record, ...]
    labels: tuple[str, ...]
    labelers: tuple[Labeler, ...]
    endpoint: ChatEndpoint | None
    folder: Path
    config: str
    share: int

    @property
    def inputs(self) -> str:
        """SHA-256 over the record ids, in order."""
        return hashlib.sha256(canonical_json([record.record_id for record in self.records])).hexdigest()


@dataclass(frozen=True)
class Draft:
    """A shard that is written and synced but not committed."""

    temporary: Path
    line: "ManifestLine"


class ManifestLine(Frozen):
    """What was committed: one line of `manifest.jsonl`."""

    shard: int = Field(ge=0)
    file: str
    config: str = Field(description="SHA-256 of labelers, model and layout")
    inputs: str = Field(description="SHA-256 of the record ids")
    sha256: str
    records: int
    errors: int = Field(description="Votes that failed")

    def covers(self, task: ShardTask) -> bool:
        return (self.shard, self.config, self.inputs) == (task.index, task.config, task.inputs)


def config_digest(labels: tuple[str, ...], labelers: Sequence[Labeler], model: str | None) -> str:
    """SHA-256 of everything besides the records that decides the bytes of a shard."""
    body = {"layout": LAYOUT, "labels": list(labels), "labelers": [[each.name, labeler_digest(each, labels)] for each in labelers], "model": model}
    return hashlib.sha256(canonical_json(body)).hexdigest()


def label_shard(task: ShardTask) -> Draft:
    """Ask every labeler for its votes and write the shard; runs in a worker. PipelineError when the endpoint is gone."""
    votes = {labeler.name: vote(labeler, task.records, task.labels, task.endpoint, share=task.share) for labeler in task.labelers}
    table = shard_table(task, votes)
    with tempfile.NamedTemporaryFile(dir=task.folder, prefix=f".shard-{task.index:05d}.", suffix=".tmp", delete=False) as stream:
        temporary = Path(stream.name)
    pq.write_table(table, temporary, compression="zstd")
    sync(temporary)
    line = ManifestLine(
        shard=task.index,
        file=f"shard-{task.index:05d}.parquet",
        config=task.config,
        inputs=task.inputs,
        sha256=sha256_file(temporary),
        records=len(task.records),
        errors=sum(each.error is not None for column in votes.values() for each in column),
    )
    return Draft(temporary, line)


def shard_table(task: ShardTask, votes: dict[str, list[Vote]]) -> pa.Table:
    """One row per record; of each labeler NAME the columns NAME_label, NAME_error, NAME_*_tokens, NAME_model, NAME_digest."""
    rows = len(task.records)
    columns: dict[str, pa.Array] = {"record_id": pa.array([record.record_id for record in task.records], pa.string())}
    for name in ("source", "row", "source_id", "language", "text", "gold"):
        columns[name] = pa.array([getattr(record, name) for record in task.records], pa.int64() if name == "row" else pa.string())
    for labeler in task.labelers:
        cast = [asdict(each) for each in votes[labeler.name]]
        for name in ("label", "error", *WHOLE_NUMBERS):
            columns[f"{labeler.name}_{name}"] = pa.array([each[name] for each in cast], pa.int64() if name in WHOLE_NUMBERS else pa.string())
        model = None if isinstance(labeler, Keywords) or task.endpoint is None else task.endpoint.model
        columns[f"{labeler.name}_model"] = pa.array([model] * rows, pa.string())
        columns[f"{labeler.name}_digest"] = pa.array([labeler_digest(labeler, task.labels)] * rows, pa.string())
    return pa.table(columns)


class Manifest:
    """The committed shards of an output folder. One writer at a time: the run that holds the folder's lock."""

    def __init__(self, out: Path) -> None:
        self.path = out / MANIFEST
        self.folder = out / FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lines: dict[int, ManifestLine] = {}

    def resume(self, tasks: Sequence[ShardTask]) -> list[ShardTask]:
        """The tasks that remain: those without a line for the same configuration and records and a file with its hash. Sweeps strays."""
        for stray in self.folder.glob(STRAY):
            stray.unlink()
        by_index = {task.index: task for task in tasks}
        for line in self._read():
            task = by_index.get(line.shard)
            place = self.folder / line.file
            if task is not None and line.covers(task) and place.is_file() and sha256_file(place) == line.sha256:
                self._lines[line.shard] = line
        # Written anew, so that a line cut short by a crash does not spoil the next one.
        self._write()
        return [task for task in tasks if task.index not in self._lines]

    def commit(self, draft: Draft) -> None:
        """Rename, then one synced line: a crash between the two leaves a shard that is simply made again."""
        draft.temporary.replace(self.folder / draft.line.file)
        sync(self.folder)
        with self.path.open("ab") as stream:
            stream.write(_encoded(draft.line))
        sync(self.path)
        self._lines[draft.line.shard] = draft.line

    def finish(self) -> list[ManifestLine]:
        """All lines in shard order, the file rewritten so; shards that no line names are removed."""
        self._write()
        kept = {line.file for line in self._lines.values()}
        for path in [*self.folder.glob("shard-*.parquet"), *self.folder.glob(STRAY)]:
            if path.name not in kept:
                path.unlink()
        return self.lines

    @property
    def lines(self) -> list[ManifestLine]:
        return [self._lines[index] for index in sorted(self._lines)]

    def table(self) -> pa.Table:
        """All committed shards as one table, in shard order."""
        return pa.concat_tables([pq.read_table(self.folder / line.file) for line in self.lines])

    def _read(self) -> list[ManifestLine]:
        if not self.path.exists():
            return []
        lines = []
        for raw in self.path.read_bytes().splitlines():
            try:
                lines.append(ManifestLine.model_validate_json(raw))
            except ValidationError:
                continue
        return lines

    def _write(self) -> None:
        write_atomic(self.path, b"".join(_encoded(line) for line in self.lines))


def _encoded(line: ManifestLine) -> bytes:
    return canonical_json(line.model_dump()) + b"\n"
