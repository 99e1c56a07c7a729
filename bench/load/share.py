"""What one of several workers takes of a run (pure functions).

Unit k, a request or a session, belongs to worker k modulo the number of workers. A unit's time and words depend on the workload, the
seed and k alone, so that the same run with more workers sends the same requests.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """Worker `worker` (from 0) of `workers`."""

    worker: int = 0
    workers: int = 1

    def of(self, count: int) -> int:
        """How many of the units, streams or places 0 to `count` - 1 are its own."""
        return count // self.workers + (self.worker < count % self.workers)

    def unit(self, place: int) -> int:
        """The number of its `place`-th unit (from 0)."""
        return place * self.workers + self.worker
