"""What a run would do and cost, before it starts."""

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from stack.pipelines.labelers import messages
from stack.pipelines.run import prepare
from stack.pipelines.spec import Aggregate, Dedup, Evaluate, LabelStage, Llm, Normalise, Pipeline, Read, Stage, Write

BYTES_PER_TOKEN = 3.5
"""UTF-8 bytes in a token of a subword vocabulary, cautious for Latin scripts; the true count is in the answers' usage."""
TOKENS_PER_MESSAGE = 6
"""Role and delimiters that a chat template puts around each message."""


@dataclass(frozen=True)
class Planned:
    """`prompt_tokens` is an estimate, `max_completion_tokens` a bound."""

    pipeline: str
    stages: list[tuple[str, str]]
    records: int
    shards: int
    dropped: dict[str, int]
    requests: int
    prompt_tokens: int
    max_completion_tokens: int
    method: str = f"estimated from {BYTES_PER_TOKEN:g} bytes of text a token"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "stages": [{"stage": stage, "does": does} for stage, does in self.stages]}


def plan_run(pipeline: Pipeline, *, limit: int | None = None) -> Planned:
    """Reads the sources to count what is really there; PipelineError when they do not fit the pipeline."""
    prepared = prepare(pipeline, limit=limit)
    stage = pipeline.stage(LabelStage)
    askers = [labeler for labeler in stage.labelers if isinstance(labeler, Llm)]
    return Planned(
        pipeline=pipeline.name,
        stages=[(each.kind, _in_words(each)) for each in pipeline.stages],
        records=len(prepared.records),
        shards=math.ceil(len(prepared.records) / stage.shard_records),
        dropped=dict(sorted(Counter(each.reason for each in prepared.dropped).items())),
        requests=len(askers) * len(prepared.records),
        prompt_tokens=sum(_tokens(messages(labeler, record.text)) for labeler in askers for record in prepared.records),
        max_completion_tokens=sum(labeler.max_tokens for labeler in askers) * len(prepared.records),
    )


def _tokens(chat: list[dict[str, str]]) -> int:
    return sum(TOKENS_PER_MESSAGE + math.ceil(len(message["content"].encode()) / BYTES_PER_TOKEN) for message in chat)


def _in_words(stage: Stage) -> str:
    match stage:
        case Read():
            words = ", ".join(f"{source.path.name} ({source.licence})" for source in stage.sources)
        case Normalise():
            words = f"Unicode {stage.unicode}" + (", white space collapsed" if stage.whitespace else "")
        case Dedup():
            words = "drop exact duplicates of the text, over all sources"
        case LabelStage():
            words = "; ".join(f"{each.name} ({each.kind})" for each in stage.labelers) + f"; {stage.shard_records} records a shard"
        case Aggregate():
            words = f"one label and its probability by {stage.method.replace('_', ' ')}"
        case Evaluate():
            words = "accuracy and kappa against the human labels, agreement between labelers"
        case Write():
            words = f"labels.{stage.format}, card.json, dropped.jsonl, manifest.jsonl"
    return words
