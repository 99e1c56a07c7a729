"""The paper trail of a dataset: Croissant card, datasheet page, OpenLineage events, and the history of one record.

In: `Described`, plain data about a finished dataset. Out: documents, as data or bytes; `trace` alone reads a folder. Never: a
clock (the caller gives the events their times), a text of the dataset, or a statement nobody made.
"""

from stack.pipelines.trail.croissant import croissant
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
from stack.pipelines.trail.lineage import apply_noted, begin, trace
from stack.pipelines.trail.openlineage import end_event, start_event

__all__ = [
    "Described",
    "Interval",
    "LabelerRun",
    "LengthBin",
    "ReliabilityBin",
    "SourceFile",
    "StageRun",
    "Statements",
    "WrittenFile",
    "apply_noted",
    "begin",
    "croissant",
    "end_event",
    "log_bins",
    "start_event",
    "trace",
]
