"""The paper trail of a dataset: Croissant card, datasheet page, OpenLineage events, and the history of one record.

In: a `Tally` of the records as they stream by and what was declared, together `Described`. Out: documents, as data or bytes;
`trace` alone reads a folder. Never: a clock (the caller gives the events their times), a text of the dataset, or a statement
nobody made.
"""

from stack.pipelines.trail.croissant import croissant
from stack.pipelines.trail.datasheet import datasheet
from stack.pipelines.trail.describe import About, StageSaid, card, describe
from stack.pipelines.trail.described import (
    Described,
    Interval,
    LabelerRun,
    LengthBin,
    ReliabilityBin,
    SourceFile,
    StageRun,
    Statements,
    WrittenFile,
    log_bins,
)
from stack.pipelines.trail.lineage import apply_noted, begin
from stack.pipelines.trail.openlineage import end_event, start_event
from stack.pipelines.trail.tally import Tally
from stack.pipelines.trail.trace import trace

__all__ = [
    "About",
    "Described",
    "Interval",
    "LabelerRun",
    "LengthBin",
    "ReliabilityBin",
    "SourceFile",
    "StageRun",
    "StageSaid",
    "Statements",
    "Tally",
    "WrittenFile",
    "apply_noted",
    "begin",
    "card",
    "croissant",
    "datasheet",
    "describe",
    "end_event",
    "log_bins",
    "start_event",
    "trace",
]
