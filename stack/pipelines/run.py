"""Run a pipeline from its sources to a labeled, documented dataset (edge)."""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stack.pipelines.advance import Advance, Spent, advance_through
from stack.pipelines.base import Stage, Work
from stack.pipelines.endpoint import ChatEndpoint
from stack.pipelines.errors import PipelineError
from stack.pipelines.executor import Executor
from stack.pipelines.finish import Finished, finish, told
from stack.pipelines.inputs import find_inputs
from stack.pipelines.labeling import Budget
from stack.pipelines.manifest import Manifest
from stack.pipelines.needs import require
from stack.pipelines.phases import into_phases
from stack.pipelines.scores import Statistics
from stack.pipelines.select import Take
from stack.pipelines.spec import Pipeline
from stack.runtime.progress import Reporter

LOCK = ".lock"


@dataclass(frozen=True)
class LabelingRun:
    """A finished run: the dataset lies in `out`; times and rates are of this run alone, what it resumed left out."""

    pipeline: Pipeline
    out: Path
    model: str | None
    executor: str
    card: dict[str, Any]
    statistics: Statistics
    shards: int
    """Of the label stage; of the first phase without one."""
    spent: Spent

    @property
    def labeled(self) -> int:
        """Records labeled by this run; the others were committed by an earlier one."""
        return self.spent.labeled

    @property
    def records_per_s(self) -> float | None:
        """Of labeling, start of the workers included."""
        return self.labeled / self.spent.label_seconds if self.labeled else None


def run_pipeline(
    pipeline: Pipeline,
    out: Path,
    *,
    executor: Executor,
    endpoint: ChatEndpoint | None = None,
    limit: int | None = None,
    reporter: Reporter | None = None,
    budget: Budget | None = None,
) -> LabelingRun:
    """Do what `out` does not hold yet, then write the dataset with its papers.

    Killed at any point and called again it gives the same files, and pays for no record twice. BudgetSpentError when the budget
    ends first: what was paid for stays, and the same call goes on.
    """
    if pipeline.asks_a_model and endpoint is None:
        raise PipelineError(f"pipeline {pipeline.name} asks a model: give --url (and --api-key-file if the server wants a key)")
    endpoint = endpoint if pipeline.asks_a_model else None
    require(pipeline.stages, pipeline.folder)
    inputs = find_inputs(pipeline.read)
    stages, limiter = limited(pipeline.stages, limit)
    started = datetime.now(UTC)
    with _locked(out):
        advance = Advance(
            manifest=Manifest(out),
            executor=executor,
            work=Work(pipeline.folder, out=out.resolve(), endpoint=endpoint),
            reporter=reporter or Reporter(),
            budget=budget or Budget(),
            spent=Spent(),
            labels=pipeline.labels,
            unnamed=limiter,
        )
        finished = Finished(pipeline, out, stages, inputs, advance.manifest, advance.work, started)
        with told(finished):
            shards = advance_through(stages, inputs, advance)
            lines = advance.manifest.finish()
            card, counted = finish(finished, shards, lines, advance.reporter)
    labels = next((phase.name for phase in into_phases(stages) if phase.label), "read")
    return LabelingRun(
        pipeline=pipeline,
        out=out,
        model=endpoint.model if endpoint else None,
        executor=type(executor).__name__,
        card=card,
        statistics=counted.statistics(with_gold=pipeline.evaluates),
        shards=sum(line.phase == labels and line.part == "shard" for line in lines),
        spent=advance.spent,
    )


def limited(stages: Sequence[Stage], limit: int | None) -> tuple[tuple[Stage, ...], Take | None]:
    """With `limit`, a stage that takes so many records stands before the labelers, or at the end of a pipeline without them."""
    if limit is None:
        return tuple(stages), None
    kinds = [stage.kind for stage in stages]
    place = kinds.index("label") if "label" in kinds else kinds.index("write")
    take = Take(records=limit)
    return (*stages[:place], take, *stages[place:]), take


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
