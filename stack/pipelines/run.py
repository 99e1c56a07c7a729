"""Run a pipeline from its sources to a labeled, documented dataset (edge)."""

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stack.evidence import canonical_json
from stack.pipelines.dataset import Statistics, card, describe, finish
from stack.pipelines.endpoint import ChatEndpoint
from stack.pipelines.errors import PipelineError
from stack.pipelines.executor import Executor
from stack.pipelines.records import Dropped, Record, drop_duplicates, drop_empty, into_shards, normalise, take
from stack.pipelines.shards import Manifest, ShardTask, config_digest, label_shard
from stack.pipelines.sources import read_source
from stack.pipelines.spec import Dedup, Evaluate, LabelStage, Normalise, Pipeline, Read
from stack.runtime.files import atomic_path, sha256_file, write_atomic
from stack.runtime.progress import Reporter

LABELS, CARD, DROPPED, LOCK = "labels.parquet", "card.json", "dropped.jsonl", ".lock"


@dataclass(frozen=True)
class Prepared:
    """What is to be labeled, and what was left out on the way; `files` by source: SHA-256 and record count."""

    records: list[Record]
    dropped: list[Dropped]
    files: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class LabelingRun:
    """A finished run: the dataset lies in `out`; times and rates are of this run alone, what it resumed left out."""

    pipeline: Pipeline
    out: Path
    model: str | None
    executor: str
    card: dict[str, Any]
    table: pa.Table
    shards: int
    labeled: int
    """Records labeled by this run; the others were committed by an earlier one."""
    seconds: float
    """Wall time of labeling them, start of the workers included."""

    @property
    def statistics(self) -> Statistics:
        return describe(self.table, with_gold=self.pipeline.optional(Evaluate) is not None)

    @property
    def records_per_s(self) -> float | None:
        return self.labeled / self.seconds if self.labeled else None


def prepare(pipeline: Pipeline, *, limit: int | None = None) -> Prepared:
    """Read, normalise, drop and choose: everything before the first label. PipelineError when a source does not fit."""
    records: list[Record] = []
    dropped: list[Dropped] = []
    files: dict[str, dict[str, Any]] = {}
    for source in pipeline.stage(Read).sources:
        found, bad = read_source(source, pipeline.labels)
        records += found
        dropped += bad
        files[source.name] = {"sha256": sha256_file(source.path), "records": len(found) + len(bad)}
    if how := pipeline.optional(Normalise):
        records = [normalise(record, how) for record in records]
    records, empty = drop_empty(records)
    dropped += empty
    if pipeline.optional(Dedup):
        records, duplicates = drop_duplicates(records)
        dropped += duplicates
    return Prepared(take(records, limit), dropped, files)


def run_pipeline(
    pipeline: Pipeline, out: Path, *, executor: Executor, endpoint: ChatEndpoint | None = None, limit: int | None = None, reporter: Reporter | None = None
) -> LabelingRun:
    """Label what `out` does not hold yet, then write labels.parquet, dropped.jsonl and card.json.

    Killed at any point and called again it gives the same files, and asks no labeler again about a committed shard.
    """
    if pipeline.asks_a_model and endpoint is None:
        raise PipelineError(f"pipeline {pipeline.name} asks a model: give --url (and --api-key-file if the server wants a key)")
    reporter = reporter or Reporter()
    model = endpoint.model if endpoint is not None and pipeline.asks_a_model else None
    prepared = prepare(pipeline, limit=limit)
    with _locked(out):
        manifest = Manifest(out)
        tasks = _tasks(pipeline, prepared.records, endpoint, manifest.folder, share=executor.workers)
        remaining = manifest.resume(tasks)
        labeled, seconds = _label(manifest, remaining, len(prepared.records), executor, reporter)
        lines = manifest.finish()
        table = finish(manifest.table(), pipeline)
        described = card(pipeline, table, prepared.dropped, prepared.files, model)
        _write_dataset(out, table, prepared.dropped, described)
    return LabelingRun(pipeline, out, model, type(executor).__name__, described, table, len(lines), labeled, seconds)


def _tasks(pipeline: Pipeline, records: list[Record], endpoint: ChatEndpoint | None, folder: Path, *, share: int) -> list[ShardTask]:
    stage = pipeline.stage(LabelStage)
    config = config_digest(pipeline.labels, stage.labelers, endpoint.model if endpoint and pipeline.asks_a_model else None)
    shards = into_shards(records, stage.shard_records)
    # No more tasks can run at once than there are: a single shard may use all the concurrency.
    share = max(1, min(share, len(shards)))
    return [ShardTask(index, shard, pipeline.labels, stage.labelers, endpoint, folder.resolve(), config, share=share) for index, shard in enumerate(shards)]


def _label(manifest: Manifest, tasks: list[ShardTask], total: int, executor: Executor, reporter: Reporter) -> tuple[int, float]:
    """Records labeled and seconds taken; commits each shard as it comes."""
    resumed = total - sum(len(task.records) for task in tasks)
    labeled = 0
    started = time.monotonic_ns()
    with reporter.step(f"label {total - resumed} records" + (f", {resumed} already committed" if resumed else ""), total=total - resumed) as step:
        step.note("waiting for the first shard" if tasks else "nothing left to do")
        for draft in executor.map(label_shard, tasks):
            manifest.commit(draft)
            labeled += draft.line.records
            step.note(f"{labeled / step.seconds:.1f} records/s")
            step.advance(draft.line.records)
    return labeled, (time.monotonic_ns() - started) / 1e9


def _write_dataset(out: Path, table: pa.Table, dropped: list[Dropped], described: dict[str, Any]) -> None:
    with atomic_path(out / LABELS) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    write_atomic(out / DROPPED, b"".join(canonical_json(asdict(each)) + b"\n" for each in dropped))
    # The card comes last: a folder that has one is complete.
    write_atomic(out / CARD, json.dumps(described, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """One run at a time in a folder; the lock ends with the process, however it ends."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        stream = (out / LOCK).open("w")
    except OSError as error:
        raise PipelineError(f"--out {out} cannot be written: {error.strerror}") from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PipelineError(f"--out {out} is in use by another run: wait for it or choose another folder") from None
        yield
