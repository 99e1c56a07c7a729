"""One request on its way: its stamps, and every byte of its answer (models).

Stamps are nanoseconds of the monotonic clock. Nothing is parsed here beyond what the connection needs to know.
"""

from array import array
from dataclasses import dataclass
from enum import IntEnum


class Outcome(IntEnum):
    """How the transport left a request; what the bytes say is decided after the run."""

    PENDING = 0
    COMPLETE = 1
    REFUSED = 2
    TIMEOUT = 3
    CLOSED_EARLY = 4
    NOT_HTTP = 5
    CANCELLED = 6
    NO_FILE = 7


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request, or a session of several, that is due."""

    unit: int
    intended_ns: int
    due_ns: int
    """When it could go out: `intended_ns`, or later where it had to wait for a place under `max_in_flight`."""
    warmup: bool


class Exchange:
    """A request and its raw answer: one stamp for each read from the socket."""

    __slots__ = (
        "closed_ns",
        "detail",
        "dispatched_ns",
        "due_ns",
        "index",
        "intended_ns",
        "outcome",
        "payload",
        "reads",
        "resent",
        "sent_ns",
        "stamps",
        "turn",
        "unit",
        "warmup",
    )

    def __init__(self, index: int, payload: bytes, arrival: Arrival, *, turn: int = 0) -> None:
        self.index = index
        self.payload = payload
        self.unit = arrival.unit
        self.turn = turn
        self.warmup = arrival.warmup
        self.intended_ns = arrival.intended_ns
        self.due_ns = arrival.due_ns
        self.dispatched_ns = 0
        self.sent_ns = 0
        self.closed_ns = 0
        self.outcome = Outcome.PENDING
        self.detail = ""
        self.resent = False
        self.stamps = array("q")
        self.reads: list[bytes] = []
