"""How late gevent's event loop is (edge; Linux, inside a Locust worker).

libev rounds its timers to whole milliseconds, which would pass for lag; a periodic timerfd on the monotonic clock does not.
"""

import ctypes
import os
from array import array
from time import monotonic_ns

import gevent
from gevent.hub import get_hub

from bench.load.timer import CLOCK_MONOTONIC, TFD_FLAGS, TFD_TIMER_ABSTIME

EVERY_NS = 10_000_000
READABLE = 1


class LagMonitor:
    """Asks to be called every 10 ms and notes how late each call came."""

    def __init__(self) -> None:
        self._lags_ns = array("q")
        self._greenlet = gevent.spawn(self._run)

    def take(self) -> list[int]:
        """The lags since the last call, in nanoseconds."""
        taken, self._lags_ns = self._lags_ns, array("q")
        return taken.tolist()

    def _run(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        timer = libc.timerfd_create(CLOCK_MONOTONIC, TFD_FLAGS)
        due_ns = monotonic_ns() + EVERY_NS
        # struct itimerspec: interval, then first expiry, each in seconds and nanoseconds.
        spec = (ctypes.c_long * 4)(0, EVERY_NS, *divmod(due_ns, 1_000_000_000))
        if timer < 0 or libc.timerfd_settime(timer, TFD_TIMER_ABSTIME, spec, None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd")
        hub = get_hub()
        watcher = hub.loop.io(timer, READABLE)
        while True:
            hub.wait(watcher)
            now = monotonic_ns()
            expired = int.from_bytes(os.read(timer, 8), "little")
            # Calls missed while the loop was blocked would each have come late as well: count them, or one long stall looks rare.
            self._lags_ns.extend(max(0, now - due_ns - missed * EVERY_NS) for missed in range(expired))
            due_ns += expired * EVERY_NS
