"""Shares with their interval (pure)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

Z_95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""


@dataclass(frozen=True)
class Proportion:
    """How many of how many."""

    successes: int
    total: int

    @classmethod
    def of(cls, outcomes: Iterable[bool]) -> "Proportion":
        results = list(outcomes)
        return cls(sum(results), len(results))

    @property
    def share(self) -> float | None:
        """None when there was nothing to count."""
        return self.successes / self.total if self.total else None

    def wilson(self) -> tuple[float, float] | None:
        """Score interval at 95 % (E. B. Wilson, JASA 22, 1927, 209-212), without continuity correction; None of nothing."""
        if not self.total:
            return None
        share, z2 = self.successes / self.total, Z_95 * Z_95
        centre = share + z2 / (2 * self.total)
        half = Z_95 * math.sqrt(share * (1 - share) / self.total + z2 / (4 * self.total * self.total))
        low, high = ((centre + sign * half) / (1 + z2 / self.total) for sign in (-1, 1))
        # At the ends the formula gives 0 and 1 exactly; rounding must not push the interval off the share.
        return (0.0 if not self.successes else low, 1.0 if self.successes == self.total else high)
