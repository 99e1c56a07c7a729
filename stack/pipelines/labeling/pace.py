"""How fast to ask: additive increase and multiplicative decrease, back-off, Retry-After (logic; the caller's clock)."""

import math
import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

BACKOFF_BASE_S = 0.5
MAX_BACKOFF_S = 30.0
MAX_RETRY_AFTER_S = 60.0
"""A server that asks for more is tried again after this: a run must not sleep for a day on one header."""


class Window:
    """How many requests may be in flight: half as many when the server is overloaded, one more per window of answers (RFC 5681's shape).

    It starts at the ceiling, which the pipeline file chose. Signs of overload from requests sent before the last cut tell nothing new,
    so that one burst of refusals halves once.
    """

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self._size = float(ceiling)
        self._cuts = 0

    @property
    def size(self) -> int:
        return int(self._size)

    def ticket(self) -> int:
        """To be taken when a request is sent and shown when it ends."""
        return self._cuts

    def answered(self) -> None:
        self._size = min(self.ceiling, self._size + 1 / self._size)

    def overloaded(self, ticket: int) -> None:
        if ticket == self._cuts:
            self._cuts += 1
            self._size = max(1.0, self._size / 2)


def backoff_s(attempt: int) -> float:
    """Full jitter: uniform between 0 and 0.5 s, 1 s, 2 s, ... after the first, second, third attempt; at most 30 s."""
    return random.uniform(0, min(MAX_BACKOFF_S, BACKOFF_BASE_S * 2.0 ** (attempt - 1)))  # noqa: S311  # spreads load, guards nothing


def retry_after_s(header: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3: seconds or an HTTP date), within 0..60; None without a readable one."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            when = parsedate_to_datetime(header)
        except (ValueError, TypeError):
            return None
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        seconds = (when - (now or datetime.now(UTC))).total_seconds()
    return None if math.isnan(seconds) else min(MAX_RETRY_AFTER_S, max(0.0, seconds))
