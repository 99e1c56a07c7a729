"""The end of a run: records from the last phase's shards into the dataset's files, with the papers that say what it is (edge)."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from stack.evidence import canonical_json
from stack.pipelines.advance import Shards
from stack.pipelines.base import Stage, Work
from stack.pipelines.errors import PipelineError
from stack.pipelines.frames import DETAIL, REASON, fit, one_schema, regroup, repetitive
from stack.pipelines.inputs import Input
from stack.pipelines.label_stage import LabelStage
from stack.pipelines.labels import describe_labels, encode
from stack.pipelines.manifest import Line, Manifest
from stack.pipelines.scores import Counted, Counting, as_plain
from stack.pipelines.shards import DROPPED, NOTES, Piece, load_piece
from stack.pipelines.spec import Pipeline
from stack.pipelines.trail import (
    About,
    Described,
    LabelerRun,
    SourceFile,
    StageSaid,
    Tally,
    WrittenFile,
    croissant,
    datasheet,
    describe,
    end_event,
    start_event,
)
from stack.pipelines.trail import card as plain_card
from stack.privacy import read_key, restore
from stack.runtime.files import atomic_path, sha256_file, sync, write_atomic
from stack.runtime.progress import Reporter

LABELS, CARD, CROISSANT, DATASHEET, LINEAGE = "labels.parquet", "card.json", "croissant.json", "datasheet.html", "openlineage.jsonl"
MEDIA_TYPES = {
    ".parquet": "application/vnd.apache.parquet",
    ".jsonl": "application/jsonl",
    ".csv": "text/csv",
    ".json": "application/json",
    ".html": "text/html",
}
GROUP_ROWS = 10_000
"""Rows of one row group: what is held while the dataset is written and read again."""


@dataclass(frozen=True)
class Finished:
    """What the papers are made of. `stages` are all that ran, one that `--limit` added among them."""

    pipeline: Pipeline
    out: Path
    stages: Sequence[Stage]
    inputs: Sequence[Input]
    manifest: Manifest
    work: Work
    started: datetime


def finish(run: Finished, shards: Shards, lines: Sequence[Line], reporter: Reporter) -> tuple[dict[str, Any], Counted]:
    """Write everything; the card comes last, so a folder that has one is complete."""
    (run.out / CARD).unlink(missing_ok=True)
    with reporter.step(f"write {sum(shards.rows):,} records", total=sum(shards.rows)) as step:
        schema = one_schema(_schema(piece) for piece in shards.pieces).with_metadata(_metadata(run.pipeline))
        written = [LABELS] if run.pipeline.write.format == "parquet" else [LABELS, f"labels.{run.pipeline.write.format}"]
        counted = _write_parquet(run.out / LABELS, shards.pieces, schema, step.advance)
        for name in written[1:]:
            _write_beside(run.out / LABELS, run.out / name)
        for stale in {"labels.jsonl", "labels.csv"} - set(written):
            (run.out / stale).unlink(missing_ok=True)
        others = [DROPPED, *_write_logs(run.out, run.manifest, lines)]
    counted.tally.dropped.update(drops_of(run.manifest, lines))
    papers = described(run, counted.tally, schema, written, others)
    card = _card(run, counted, papers, lines)
    write_atomic(run.out / CROISSANT, json.dumps(croissant(papers), indent=2, ensure_ascii=False) + "\n")
    write_atomic(run.out / DATASHEET, datasheet(papers))
    append_event(run.out, end_event(papers, started=run.started, ended=datetime.now(UTC)))
    write_atomic(run.out / CARD, json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    return card, counted


def _schema(piece: Piece) -> pa.Schema:
    """Of the records that a piece stands for, from the files' footers alone."""
    schema = pq.read_schema(piece.data).remove_metadata()
    for path in piece.decisions:
        for field in pq.read_schema(path).remove_metadata():
            if field.name in (REASON, DETAIL):
                continue
            place = schema.get_field_index(field.name)
            schema = schema.append(field) if place < 0 else schema.set(place, field)
    return schema


def _metadata(pipeline: Pipeline) -> dict[str, str]:
    return {"labels": "\n".join(pipeline.labels), "labelers": "\n".join(pipeline.labeler_names)}


def _write_parquet(path: Path, pieces: Sequence[Piece], schema: pa.Schema, advance: Callable[[int], None]) -> Counted:
    """Write the records and count them: a thread compresses one row group while this one looks at it and reads the next."""
    counting = Counting(schema)
    writer = partial(pq.ParquetWriter, compression="zstd", use_dictionary=repetitive(schema))
    with atomic_path(path) as temporary, writer(temporary, schema) as out, ThreadPoolExecutor(1) as thread:
        written = None
        for table in regroup((fit(load_piece(piece), schema) for piece in pieces), GROUP_ROWS):
            if written is not None:
                written.result()
            written = thread.submit(out.write_table, table, row_group_size=GROUP_ROWS)
            counting.add(table.select(counting.columns))
            advance(table.num_rows)
        if written is not None:
            written.result()
    return counting.counted


def _write_beside(labels: Path, path: Path) -> None:
    """The same records as JSON lines, or as CSV in UTF-8 with a header."""
    with atomic_path(path) as temporary, pq.ParquetFile(labels) as file, temporary.open("wb") as stream:
        if path.suffix == ".jsonl":
            for batch in file.iter_batches(GROUP_ROWS):
                stream.write(b"".join(canonical_json(row) + b"\n" for row in batch.to_pylist()))
        else:
            with pyarrow.csv.CSVWriter(stream, file.schema_arrow) as writer:
                for batch in file.iter_batches(GROUP_ROWS):
                    writer.write_batch(batch)


def _write_logs(out: Path, manifest: Manifest, lines: Sequence[Line]) -> list[str]:
    """dropped.jsonl, and under notes/ what stages noted; in the order of phases and shards. Names of the notes."""
    _join(out / DROPPED, (manifest.place(line.key) / DROPPED for line in lines))
    found: dict[str, list[Path]] = {}
    for line in lines:
        for path in sorted((manifest.place(line.key) / NOTES).glob("*.jsonl")):
            found.setdefault(path.name, []).append(path)
    for stale in set((out / NOTES).glob("*")) - {out / NOTES / name for name in found}:
        stale.unlink()
    for name, paths in sorted(found.items()):
        _join(out / NOTES / name, paths)
    return [f"{NOTES}/{name}" for name in sorted(found)]


def _join(path: Path, parts: Iterable[Path]) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        for part in parts:
            if part.is_file():
                with part.open("rb") as source:
                    shutil.copyfileobj(source, stream)


def drops_of(manifest: Manifest, lines: Sequence[Line]) -> Iterator[tuple[str, str]]:
    """Stage and reason of every record left out; those that `--limit` left out are counted by its decision, which does not list them."""
    for line in lines:
        path = manifest.place(line.key) / DROPPED
        listed = 0
        if path.is_file():
            with path.open("rb") as stream:
                for raw in stream:
                    entry = json.loads(raw)
                    listed += 1
                    yield entry["stage"], entry["reason"]
        if line.part == "decision" and not listed:
            yield from repeat(("take", "limit"), line.read - line.records)


def described(run: Finished, tally: Tally, schema: pa.Schema, written: Sequence[str], others: Sequence[str]) -> Described:
    pipeline = run.pipeline
    about = About(
        name=pipeline.name,
        title=pipeline.title,
        version=pipeline.version,
        command=f"stackproof label run {pipeline.name}",
        statements=pipeline.about,
    )
    files = [*(_file(run.out, name, tally.records) for name in written), *(_file(run.out, name, None) for name in others)]
    return describe(
        about,
        tally,
        sources=[file for each in run.inputs for file in _sources(each)],
        stages=[StageSaid.of(stage, run.work) for stage in run.stages],
        files=files,
        columns=dict(zip(schema.names, map(str, schema.types), strict=True)),
        labelers=_labelers(pipeline.label, run.work),
    )


def _sources(found: Input) -> Iterator[SourceFile]:
    source = found.source
    rows: Counter[str] = Counter()
    for split in found.splits:
        for path in split.paths:
            rows[path] += split.rows // len(split.paths)
    columns = {name: column for name, column in ((source.text, "text"), (source.gold, "gold"), (source.id, "source_id")) if name is not None}
    told = {name: getattr(source, name) for name in ("name", "licence", "origin", "credit", "consent", "language")}
    for path, sha256 in found.files.items():
        yield SourceFile(file=path.rsplit("/", 1)[-1], sha256=sha256, records=rows[path], columns=columns, **told)


def _labelers(stage: LabelStage | None, work: Work) -> list[LabelerRun]:
    return [LabelerRun(each.name, each.kind, stage.model_of(each, work), stage.digest_of(each, work)) for each in stage.labelers] if stage else []


def _file(out: Path, name: str, records: int | None) -> WrittenFile:
    path = out / name
    return WrittenFile(name, sha256_file(path), path.stat().st_size, MEDIA_TYPES[path.suffix], records)


def _card(run: Finished, counted: Counted, papers: Described, lines: Sequence[Line]) -> dict[str, Any]:
    """No times and rates: the same input gives the same card."""
    statistics = counted.statistics(with_gold=run.pipeline.evaluates)
    reasons: Counter[str] = Counter()
    for (_, reason), count in counted.tally.dropped.items():
        reasons[reason] += count
    left_out = reasons.pop("limit", 0)
    return {
        **plain_card(papers),
        "labels": list(run.pipeline.labels),
        "aggregate": run.pipeline.aggregate.method if run.pipeline.aggregate else None,
        "counts": {
            "read": sum(each.records for each in run.inputs),
            "dropped": dict(sorted(reasons.items())),
            "left_out_by_limit": left_out,
            "labeled": counted.tally.records,
            "failed_votes": dict(statistics.failed),
        },
        "statistics": as_plain(statistics),
        "label_model": _label_model(run),
        "shards": sum(line.part == "shard" for line in lines),
    }


def _label_model(run: Finished) -> dict[str, Any] | None:
    """What the label model learned, calibration on the gold subset, and how many gold labels look wrong; from the columns of votes alone."""
    pipeline = run.pipeline
    if pipeline.aggregate is None:
        return None
    names = pipeline.labeler_names
    table = pq.read_table(run.out / LABELS, columns=[*(f"{name}_label" for name in names), "gold"])
    votes = {name: encode(table.column(f"{name}_label"), pipeline.labels, column=f"{name}_label") for name in names}
    gold = encode(table.column("gold"), pipeline.labels, column="gold") if pipeline.evaluates else None
    return describe_labels(votes, pipeline.labels, gold=gold, method=pipeline.aggregate.method, balance=pipeline.aggregate.balance)


def append_event(out: Path, event: dict[str, Any]) -> None:
    """To the log of runs: it has times, so it is no part of the dataset."""
    with (out / LINEAGE).open("ab") as stream:
        stream.write(canonical_json(event) + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    sync(out)


def restored_text(out: Path, record_id: str, key_file: Path) -> str:
    """The text of one record of a finished dataset, its sealed values put back. PipelineError when there is no such record, PrivacyError for a wrong key."""
    try:
        found = pq.read_table(out / LABELS, columns=["text"], filters=[("record_id", "=", record_id)]).column("text").to_pylist()
    except FileNotFoundError:
        raise PipelineError(f"OUT {out} has no {LABELS}: give the --out folder of a finished run") from None
    if not found:
        raise PipelineError(f"record {record_id} is not in {out / LABELS}: take a record_id from there")
    return restore(found[0], read_key(key_file))


@contextmanager
def told(run: Finished) -> Iterator[None]:
    """Tell the log of runs of a start, and of an end in an error; `finish` tells of a whole run."""
    planned = described(run, Tally(labelers=run.pipeline.labeler_names), pa.schema([]), [], [])
    append_event(run.out, start_event(planned, started=run.started))
    try:
        yield
    except BaseException as error:
        message = str(error) or type(error).__name__
        append_event(run.out, end_event(planned, started=run.started, ended=datetime.now(UTC), error=message))
        raise
