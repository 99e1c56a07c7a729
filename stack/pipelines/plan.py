"""What a run would do and cost, before it starts."""

import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stack.pipelines.advance import Advance, Shards, Spent, advance_through
from stack.pipelines.base import DatasetStage, Stage, Work
from stack.pipelines.executor import LocalExecutor
from stack.pipelines.finish import drops_of
from stack.pipelines.inputs import Input, find_inputs
from stack.pipelines.label_stage import LabelStage
from stack.pipelines.labeling import Budget, Llm
from stack.pipelines.labeling.requests import messages
from stack.pipelines.manifest import Manifest
from stack.pipelines.needs import require
from stack.pipelines.readers import Split
from stack.pipelines.run import limited
from stack.pipelines.shards import load_piece
from stack.pipelines.spec import Pipeline
from stack.pipelines.text import order_hint
from stack.runtime.progress import Reporter

BYTES_PER_TOKEN = 3.5
"""UTF-8 bytes in a token of a subword vocabulary, cautious for Latin scripts; the true count is in the answers' usage."""
TOKENS_PER_MESSAGE = 6
"""Role and delimiters that a chat template puts around each message."""
MOST_RECORDS = 50_000
"""A plan cleans so many records for real; of more it takes the first of every source and says so."""


@dataclass(frozen=True)
class PlannedStage:
    """One stage in words, and what must be there for it."""

    stage: str
    does: str
    needs: tuple[str, ...]


@dataclass(frozen=True)
class Planned:
    """`records` are to be labeled. `prompt_tokens` is an estimate, `max_completion_tokens` a bound."""

    pipeline: str
    stages: list[PlannedStage]
    records: int
    shards: int
    dropped: dict[str, int]
    requests: int
    prompt_tokens: int
    max_completion_tokens: int
    method: str
    hints: tuple[str, ...] = ()
    """What is likely not meant."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def plan_run(pipeline: Pipeline, *, limit: int | None = None, reporter: Reporter | None = None) -> Planned:
    """Cleans the sources to count what is really there, in a temporary folder; PipelineError when they do not fit the pipeline."""
    require(pipeline.stages, pipeline.folder)
    inputs = find_inputs(pipeline.read)
    total = sum(each.records for each in inputs)
    looked_at = inputs if total <= MOST_RECORDS else [_first_of(each, MOST_RECORDS // len(inputs)) for each in inputs]
    scale = total / max(1, sum(each.records for each in looked_at))
    stages, limiter = limited(pipeline.stages, limit)
    before = stages[: next((place for place, stage in enumerate(stages) if isinstance(stage, LabelStage)), len(stages))]
    with tempfile.TemporaryDirectory(prefix="stackproof-plan-") as folder:
        advance = Advance(
            manifest=Manifest(Path(folder)),
            executor=LocalExecutor(),
            work=Work(pipeline.folder),
            reporter=reporter or Reporter(),
            budget=Budget(),
            spent=Spent(),
            labels=pipeline.labels,
            unnamed=limiter,
        )
        shards = advance_through(before, looked_at, advance)
        dropped = Counter(reason for _, reason in drops_of(advance.manifest, advance.manifest.lines) if reason != "limit")
        askers = [each for each in pipeline.label.labelers if isinstance(each, Llm)] if pipeline.label else []
        prompt_tokens = sum(_tokens(messages(labeler, text)) for text in _texts(shards) for labeler in askers) if askers else 0
    records = round(sum(shards.rows) * scale)
    sample = "" if scale == 1 else f", and from the first {sum(each.records for each in looked_at):,} of {total:,} records"
    return Planned(
        pipeline=pipeline.name,
        stages=[_planned(each) for each in pipeline.stages],
        records=records,
        shards=math.ceil(records / pipeline.label.shard_records) if pipeline.label else len(shards.pieces),
        dropped={reason: round(count * scale) for reason, count in sorted(dropped.items())},
        requests=len(askers) * records,
        prompt_tokens=round(prompt_tokens * scale),
        max_completion_tokens=sum(labeler.max_tokens for labeler in askers) * records,
        method=f"estimated from {BYTES_PER_TOKEN:g} bytes of text a token{sample}",
        hints=tuple(filter(None, (order_hint(pipeline.stages), _raw_text_hint(pipeline.stages)))),
    )


def _planned(stage: Stage) -> PlannedStage:
    return PlannedStage(stage.kind, stage.in_words(), stage.needs())


def _raw_text_hint(stages: Sequence[Stage]) -> str | None:
    """Shards are written before a stage that needs all records, and before labelers."""
    kinds = [stage.kind for stage in stages]
    if "pii" not in kinds:
        return None
    early = [stage.kind for stage in stages[: kinds.index("pii")] if isinstance(stage, DatasetStage | LabelStage)]
    return f"`pii` comes after `{early[0]}`, so shards under work/ hold the text as it was: move it before, or delete work/ afterwards" if early else None


def _first_of(found: Input, records: int) -> Input:
    rows = 0
    kept: list[Split] = []
    for split in found.splits:
        if kept and rows >= records:
            break
        kept.append(split)
        rows += split.rows
    return replace(found, splits=tuple(kept))


def _texts(shards: Shards) -> Iterator[str]:
    for piece in shards.pieces:
        yield from load_piece(piece, ["text"]).column("text").to_pylist()


def _tokens(chat: Sequence[dict[str, str]]) -> int:
    return sum(TOKENS_PER_MESSAGE + math.ceil(len(message["content"].encode()) / BYTES_PER_TOKEN) for message in chat)
