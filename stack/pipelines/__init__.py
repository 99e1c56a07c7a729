"""Labeling pipelines: from raw records to a labeled, documented dataset, shard by shard.

In: a pipeline file (validated before anything runs), its sources, a chat endpoint if a labeler asks a
model. Out: a folder with labels.parquet (every vote, the outcome, its probability and its origin per
record), its papers (card.json, croissant.json, datasheet.html, openlineage.jsonl), dropped.jsonl,
notes/, manifest.jsonl and the committed shards; and a `labeling` record.
A run that is killed goes on where it stopped and gives the same bytes. It never drops a record in
silence, never calls a failed vote a label, and never lets an API key into a task, a log or a file.
"""

from stack.pipelines.endpoint import ChatEndpoint, find_endpoint
from stack.pipelines.errors import PipelineError
from stack.pipelines.evidence import labeling_evidence, recompute
from stack.pipelines.executor import Executor, LocalExecutor, open_executor
from stack.pipelines.finish import restored_text
from stack.pipelines.labeling import Budget
from stack.pipelines.load import load_pipeline, shipped
from stack.pipelines.plan import Planned, plan_run
from stack.pipelines.run import LabelingRun, run_pipeline
from stack.pipelines.spec import Pipeline
from stack.pipelines.trail import trace

__all__ = [
    "Budget",
    "ChatEndpoint",
    "Executor",
    "LabelingRun",
    "LocalExecutor",
    "Pipeline",
    "PipelineError",
    "Planned",
    "find_endpoint",
    "labeling_evidence",
    "load_pipeline",
    "open_executor",
    "plan_run",
    "recompute",
    "restored_text",
    "run_pipeline",
    "shipped",
    "trace",
]
