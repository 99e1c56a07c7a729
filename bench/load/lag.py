"""How late the event loop is (edge)."""

import time
from array import array

from bench.load.timer import Timer

LAG_EVERY_NS = 10_000_000


class LagMonitor:
    """Asks every 10 ms to be called at a set time and notes how late the call came."""

    def __init__(self) -> None:
        self.lags_ns = array("q")
        self._timer = Timer(self._due)
        self._expected_ns = 0

    def start(self) -> None:
        self._expected_ns = time.monotonic_ns() + LAG_EVERY_NS
        self._timer.arm(self._expected_ns)

    def stop(self) -> None:
        self._timer.close()

    def _due(self) -> None:
        now = time.monotonic_ns()
        self.lags_ns.append(now - self._expected_ns)
        # Ticks missed while the loop was blocked would each have come late as well: count them, or one long stall looks rare.
        missed = (now - self._expected_ns) // LAG_EVERY_NS
        self.lags_ns.extend(now - self._expected_ns - tick * LAG_EVERY_NS for tick in range(1, missed + 1))
        self._expected_ns += (missed + 1) * LAG_EVERY_NS
        self._timer.arm(self._expected_ns)
