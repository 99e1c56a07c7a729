"""Take a dataset through its phases: make what is not committed yet, commit each shard as it comes, decide where all must be known (edge)."""

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stack.evidence import canonical_json
from stack.pipelines.base import DatasetStage, Stage, Work
from stack.pipelines.decide import decide
from stack.pipelines.errors import PipelineError
from stack.pipelines.executor import Executor
from stack.pipelines.inputs import Input, splits_of
from stack.pipelines.labeling import Budget, BudgetSpentError
from stack.pipelines.manifest import Line, Manifest
from stack.pipelines.phases import Phase, into_phases
from stack.pipelines.shards import DATA, DROPPED, STRAY, Piece, ReadPiece, ShardTask, load_piece, run_shard
from stack.runtime.progress import Reporter, Step

LAYOUT = 2
"""Raise it when the columns of a shard change: shards of another layout are made again."""


@dataclass(frozen=True)
class Shards:
    """The dataset between two phases: where its records lie, how many, and what stands for all that decided them."""

    pieces: tuple[Piece, ...]
    rows: tuple[int, ...]
    addresses: tuple[str, ...]


@dataclass
class Spent:
    """What this run did itself; what it took over from an earlier one is left out."""

    records: int = 0
    labeled: int = 0
    label_seconds: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Advance:
    """Everything that stays the same while a run goes through its phases. `unnamed` is a stage whose drops are counted, not listed."""

    manifest: Manifest
    executor: Executor
    work: Work
    reporter: Reporter
    budget: Budget
    spent: Spent
    labels: tuple[str, ...] = ()
    unnamed: DatasetStage | None = None

    def first(self, phase: Phase, inputs: Sequence[Input]) -> Shards:
        """Read the sources, and do what the first phase does."""
        stages = [stage.digest(self.work) for stage in phase.stages]
        sketch = phase.closes.digest(self.work) if phase.closes else None
        tasks = []
        for shard, (each, split) in enumerate(splits_of(inputs)):
            address = _sha256({"layout": LAYOUT, "read": each.address(split), "labels": list(self.labels), "stages": stages, "sketch": sketch})
            tasks.append(self._task(phase, shard, address, (ReadPiece(each.source, split, self.labels),), split.rows))
        return self._close(phase, self._make(phase, tasks), None)

    def next(self, phase: Phase, before: Shards) -> Shards:
        """Do what a later phase does."""
        stages = [stage.digest(self.work) for stage in phase.stages]
        sketch = phase.closes.digest(self.work) if phase.closes else None
        tasks = []
        for shard, (pieces, rows, content) in enumerate(self._cut(phase, before)):
            address = _sha256({"layout": LAYOUT, "content": content, "stages": stages, "sketch": sketch})
            answers = self.manifest.answers / f"{content}.jsonl" if phase.label else None
            task = self._task(phase, shard, address, pieces, rows)
            tasks.append(replace(task, work=replace(self.work, answers=answers)))
        # No more tasks can ask at once than there are: a single one may use all the concurrency.
        share = max(1, min(self.executor.workers, len(tasks)))
        return self._close(phase, self._make(phase, [replace(task, work=replace(task.work, share=share)) for task in tasks]), before)

    def _cut(self, phase: Phase, before: Shards) -> Iterator[tuple[tuple[Piece, ...], int, str]]:
        """Pieces, rows and content of each shard: as they are, or for labeling in slices of a size of their own."""
        if phase.label is None:
            for piece, rows, address in zip(before.pieces, before.rows, before.addresses, strict=True):
                yield (piece,), rows, address
        else:
            yield from _slices(before.pieces, phase.label.shard_records)

    def _task(self, phase: Phase, shard: int, address: str, inputs: Any, records: int) -> ShardTask:
        folder = self.manifest.place((phase.name, "shard", shard)).parent.resolve()
        return ShardTask(phase.name, shard, address, inputs, phase.stages, phase.closes, phase.writes, self.work, folder, records)

    def _make(self, phase: Phase, tasks: Sequence[ShardTask]) -> list[Line]:
        folder = self.manifest.place((phase.name, "shard", 0)).parent
        folder.mkdir(parents=True, exist_ok=True)
        for stray in [*folder.glob(STRAY), *folder.glob(".decision.*")]:
            shutil.rmtree(stray, ignore_errors=True)
        remaining = [task for task in tasks if not self.manifest.take_over((task.phase, "shard", task.shard), task.address)]
        total, left = sum(task.records for task in tasks), sum(task.records for task in remaining)
        started = time.monotonic()
        with self.reporter.step(_title(phase, left, total - left), total=left) as step:
            step.note("waiting for the first shard" if remaining else "nothing left to do")
            self._run(phase, remaining, step)
        self.spent.seconds += time.monotonic() - started
        if phase.label is not None:
            self.spent.labeled += left
            self.spent.label_seconds += time.monotonic() - started
        self.spent.records += left if phase.reads else 0
        return [self.manifest.current((task.phase, "shard", task.shard)) for task in tasks]

    def _run(self, phase: Phase, tasks: Sequence[ShardTask], step: Step) -> None:
        """Hand out tasks while the budget lasts, commit what comes back. BudgetSpentError with the records that remain."""
        paid = phase.label is not None and phase.label.asks_a_model
        records = {task.shard: task.records for task in tasks}
        spent: BudgetSpentError | None = None
        try:
            for draft in self.executor.map(run_shard, self._within_budget(tasks) if paid else iter(tasks)):
                self.manifest.commit(draft.temporary, draft.line)
                rows = records.pop(draft.line.shard)
                self.budget.spend(draft.line.tokens)
                step.note(f"{(step.done + rows) / step.seconds:,.1f} records/s" + (f", {self.budget.used:,} tokens" if paid else ""))
                step.advance(rows)
        except BudgetSpentError as error:
            spent = error
        if records:
            raise BudgetSpentError(self.budget.in_words(remaining=sum(records.values())), remaining=sum(records.values())) from spent

    def _within_budget(self, tasks: Sequence[ShardTask]) -> Iterator[ShardTask]:
        for task in tasks:
            if self.budget.spent:
                return
            yield replace(task, work=replace(task.work, budget=self.budget.left))

    def _close(self, phase: Phase, lines: list[Line], before: Shards | None) -> Shards:
        """The shards as they are after the phase, its decision laid over them."""
        if phase.writes:
            pieces = tuple(Piece(self.manifest.place(line.key).resolve() / DATA) for line in lines)
            addresses = tuple(line.address for line in lines)
        else:
            assert before is not None
            pieces, addresses = before.pieces, before.addresses
        rows = tuple(line.records for line in lines)
        if phase.closes is None:
            return Shards(pieces, rows, addresses)
        with self.reporter.step(f"{phase.closes.kind}: decide over {sum(rows):,} records"):
            decided = decide(phase.closes, phase.name, lines, pieces, self.manifest, self.work, named=phase.closes is not self.unnamed)
        laid = tuple(replace(piece, decisions=(*piece.decisions, path.resolve())) for piece, path in zip(pieces, decided.files, strict=True))
        # One digest for all: where a record lies is decided by every other.
        return Shards(laid, decided.stay, tuple(_sha256([address, decided.line.sha256]) for address in addresses))


def advance_through(stages: Sequence[Stage], inputs: Sequence[Input], advance: Advance) -> Shards:
    """All phases in order. PipelineError when a source has no usable record, or none is left."""
    first, *others = into_phases(stages)
    shards = advance.first(first, inputs)
    _require_records(inputs, advance.manifest)
    for phase in others:
        if not sum(shards.rows):
            raise PipelineError(f"no record is left before `{phase.title}`: loosen a stage before it, or look at what the sources hold")
        shards = advance.next(phase, shards)
    return shards


def _require_records(inputs: Sequence[Input], manifest: Manifest) -> None:
    """A source without a record, or nothing usable in any, is a mistake of the pipeline file rather than of records."""
    for each in inputs:
        if not each.records:
            raise PipelineError(f"source `{each.source.name}`: {each.source.path.rsplit('/', 1)[-1]} has no record")
    keys = [("read", "shard", shard) for shard in range(sum(len(each.splits) for each in inputs))]
    if any(manifest.current(key).records for key in keys):
        return
    files = [manifest.place(key) / DROPPED for key in keys]
    found = Counter(json.loads(line)["reason"] for path in files if path.exists() for line in path.read_bytes().splitlines())
    why = ", ".join(f"{count} {reason}" for reason, count in sorted(found.items()))
    names = ", ".join(f"`{each.source.text}` of `{each.source.name}`" for each in inputs)
    raise PipelineError(f"no record has a usable text in {names}: {why}")


def _slices(pieces: Sequence[Piece], size: int) -> Iterator[tuple[tuple[Piece, ...], int, str]]:
    """Every `size` records with the hash of all they say, so that a shard stays the same whatever changed around it."""
    held: list[Piece] = []
    rows, content = 0, hashlib.sha256()
    for piece in pieces:
        table = load_piece(piece)
        names = table.schema.names
        content_of = [list(values) for values in zip(*(table.column(name).to_pylist() for name in names), strict=True)]
        at = 0
        while at < len(content_of):
            end = min(len(content_of), at + size - rows)
            for values in content_of[at:end]:
                content.update(canonical_json([names, values]))
            held.append(replace(piece, start=at, end=end))
            rows, at = rows + end - at, end
            if rows == size:
                yield tuple(held), rows, content.hexdigest()
                held, rows, content = [], 0, hashlib.sha256()
    if rows or not pieces:
        yield tuple(held), rows, content.hexdigest()


def _title(phase: Phase, left: int, taken_over: int) -> str:
    return f"{phase.title}: {left:,} records" + (f", {taken_over:,} already committed" if taken_over else "")


def _sha256(value: Any) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()
