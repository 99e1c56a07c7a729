"""What the load generator and the sampling process say to each other (models, logic; imports little, as both begin with it)."""

import json
from dataclasses import asdict, dataclass
from typing import Self

from bench.load.progress import Progress

READ_TIMEOUT_S = 2.0
"""A source that has not answered by then has no sample at that moment."""

SETTLE_S = 0.1
"""From the end of the load to the last sample: an engine counts an answer just after it has sent it."""

END = b"end"


@dataclass(frozen=True)
class Options:
    """What the process is told, as JSON on its command line; the key itself never stands there."""

    samples: str
    progress: str
    every_s: float
    metrics_url: str
    key_file: str | None
    ca_file: str | None
    server_host: str
    prometheus_port: int | None

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))

    def to_json(self) -> str:
        return json.dumps(asdict(self))


COUNTERS = {
    "requests_sent": "Requests whose bytes went out",
    "requests_ok": "Requests that ended and did not fail",
    "requests_failed": "Requests that failed",
    "bytes_read": "Bytes read from the server",
}
GAUGES = {
    "requests_in_flight": "Requests sent and not over",
    "elapsed_seconds": "Since the start of the load",
}
ORDER = (*COUNTERS, *GAUGES)


def progress_line(progress: Progress) -> bytes:
    """What goes down the pipe, far below the 4096 bytes that a pipe takes in one piece."""
    return b"%d %d %d %d %d %.3f\n" % (
        progress.sent,
        progress.over - progress.failed,
        progress.failed,
        progress.bytes_read,
        progress.in_flight,
        progress.elapsed_s,
    )
