"""One request on its way: its stamps, and every byte of its answer (models).

Stamps are nanoseconds of the monotonic clock. Nothing is parsed here beyond what the connection needs to know.
"""

import asyncio
from array import array
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


class Exchange:
    """A request and its raw answer: one stamp for each read from the socket."""

    __slots__ = ("closed_ns", "detail", "dispatched_ns", "index", "intended_ns", "outcome", "payload", "reads", "resent", "sent_ns", "stamps", "timer")

    def __init__(self, index: int, payload: bytes, intended_ns: int) -> None:
        self.index = index
        self.payload = payload
        self.intended_ns = intended_ns
        self.dispatched_ns = 0
        self.sent_ns = 0
        self.closed_ns = 0
        self.outcome = Outcome.PENDING
        self.detail = ""
        self.resent = False
        self.stamps = array("q")
        self.reads: list[bytes] = []
        self.timer: asyncio.TimerHandle | None = None
