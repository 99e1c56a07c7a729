"""How long to wait before a process that died is started again (pure)."""

from dataclasses import dataclass

FIRST_S = 1.0
LONGEST_S = 60.0
STEADY_S = 60.0
"""A process that was ready for so long has not failed in a row."""
MOST_FAILURES = 5
"""In a row; after so many it is given up."""


@dataclass
class Backoff:
    """Failures in a row, and what follows from them. Doubles from a second to a minute."""

    failures: int = 0

    def failed(self, *, ready_for_s: float | None) -> float | None:
        """Seconds to wait, or None to give up. `ready_for_s` is None for a process that was never ready this time."""
        if ready_for_s is not None and ready_for_s >= STEADY_S:
            self.failures = 0
        self.failures += 1
        if self.failures > MOST_FAILURES:
            return None
        return min(LONGEST_S, FIRST_S * 2.0 ** (self.failures - 1))
