"""One value that some source told at some moment, and the samples file that readings are kept in while a run lasts (models, edge).

The file holds one JSON object a line, each flushed as it is written, so that a process that is killed loses at most the line it was
writing: `sample` lines with readings, `failed` lines for a source that did not answer, one `about` line.
"""

import contextlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal, NamedTuple, TextIO

Source = Literal["engine", "host", "accelerator", "energy"]
SOURCES: tuple[Source, ...] = ("engine", "host", "accelerator", "energy")
"""The server's own metrics; psutil of the load generator's host; its accelerators by NVML; its CPUs' energy by RAPL."""


class Reading(NamedTuple):
    """`labels` is JSON with sorted keys, so that equal labels are equal text; the unit stands in the metric's name."""

    metric: str
    labels: str
    value: float


class UnreadableError(Exception):
    """A source cannot be read at this moment, or ever: the message is a reason to show."""


def labels_text(labels: dict[str, str]) -> str:
    return json.dumps(labels, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class Line:
    """One line of the samples file: readings of `source` taken at `t_ns` (monotonic), or why there are none."""

    t_ns: int
    source: Source
    readings: tuple[Reading, ...] = ()
    failed: str = ""


class Writer:
    """Appends lines; never raises because a disk is full: what cannot be written is missing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = Lock()

    def write(self, line: Line) -> None:
        known = [reading for reading in line.readings if math.isfinite(reading.value)]
        self._append({"t_ns": line.t_ns, "source": line.source, "readings": known, "failed": line.failed})

    def about(self, **facts: Any) -> None:
        """Facts about the whole run, such as whether the server is on this machine."""
        self._append({"about": facts})

    def _append(self, content: dict[str, Any]) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._stream.write(json.dumps(content, separators=(",", ":")) + "\n")
            self._stream.flush()


def read_lines(lines: Iterable[str]) -> Iterator[Line | dict[str, Any]]:
    """What was written, `about` lines as dictionaries; a line that was cut off, or is not one of ours, is left out."""
    for text in lines:
        try:
            content = json.loads(text)
            if "about" in content:
                yield dict(content["about"])
                continue
            readings = tuple(Reading(str(metric), str(labels), float(value)) for metric, labels, value in content["readings"])
            if content["source"] in SOURCES:
                yield Line(int(content["t_ns"]), content["source"], readings, str(content["failed"]))
        except (ValueError, KeyError, TypeError):
            continue


def has_sample(path: Path) -> bool:
    """Whether every source was asked once, readable or not; `path` may not exist yet."""
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return {line.source for line in read_lines(stream) if isinstance(line, Line)} == set(SOURCES)
    except OSError:
        return False
