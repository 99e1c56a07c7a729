"""The decision of a dataset stage: made once over all sketches, written per shard, committed as one folder (edge)."""

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stack.evidence import canonical_json
from stack.pipelines.base import DatasetStage, Decision, Dropped, Work
from stack.pipelines.frames import DETAIL, REASON, decision_table, dropped_by
from stack.pipelines.manifest import Key, Line, Manifest, folder_digest
from stack.pipelines.shards import DROPPED, SKETCH, Piece, json_lines, load_piece
from stack.runtime.files import sync

ORIGIN = ["record_id", "source", "row"]


@dataclass(frozen=True)
class Decided:
    """A committed decision: one file per shard, and how many records of each stay."""

    files: tuple[Path, ...]
    stay: tuple[int, ...]
    line: Line


def decide(stage: DatasetStage, phase: str, shards: Sequence[Line], pieces: Sequence[Piece], manifest: Manifest, work: Work, *, named: bool = True) -> Decided:
    """The committed decision if there is one over the same sketches, else a new one. `named` False leaves out the list of who was dropped."""
    address = hashlib.sha256(canonical_json({"decides": stage.digest(work), "over": [line.sha256 for line in shards], "named": named})).hexdigest()
    key = (phase, "decision", 0)
    place = manifest.place(key)
    sketches = [pq.read_table(manifest.place(line.key) / SKETCH) for line in shards]
    if not manifest.take_over(key, address):
        _make(stage, key, address, sketches, pieces, manifest, work, named=named)
    files = tuple(place / f"shard-{line.shard:05d}.parquet" for line in shards)
    tables = [pq.read_table(path) for path in files]
    if type(stage).committed is not DatasetStage.committed:
        stage.committed(sketches, [_read_back(table) for table in tables], work)
    return Decided(files, tuple(table.column(REASON).null_count for table in tables), manifest.current(key))


def _make(
    stage: DatasetStage,
    key: Key,
    address: str,
    sketches: Sequence[pa.Table],
    pieces: Sequence[Piece],
    manifest: Manifest,
    work: Work,
    *,
    named: bool,
) -> None:
    folder = manifest.place(key).parent
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder, prefix=".decision."))
    try:
        seen = kept = 0
        with (temporary / DROPPED).open("wb") as stream:
            for shard, (decision, sketch, piece) in enumerate(zip(stage.decide(sketches, work), sketches, pieces, strict=True)):
                table = decision_table(decision, sketch.num_rows)
                pq.write_table(table, temporary / f"shard-{shard:05d}.parquet", compression="zstd")
                if named and decision.drop:
                    stream.write(json_lines(asdict(each) for each in _dropped(piece, table, stage.kind)))
                seen, kept = seen + sketch.num_rows, kept + table.column(REASON).null_count
        for path in [*temporary.iterdir(), temporary]:
            sync(path)
        line = Line(phase=key[0], part="decision", shard=0, address=address, sha256=folder_digest(temporary), read=seen, records=kept)
        manifest.commit(temporary, line)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _dropped(piece: Piece, decided: pa.Table, stage: str) -> list[Dropped]:
    return dropped_by(load_piece(piece, ORIGIN), decided, stage)


def _read_back(table: pa.Table) -> Decision:
    """What was dropped; the columns that were added are not needed again."""
    reasons, details = table.column(REASON).to_pylist(), table.column(DETAIL).to_pylist()
    return Decision({position: (reason, details[position]) for position, reason in enumerate(reasons) if reason is not None})
