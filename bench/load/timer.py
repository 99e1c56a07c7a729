"""Wake-ups to the microsecond inside an event loop (edge).

uvloop rounds its timers to whole milliseconds, which would send every open-loop request up to a millisecond
off its time. A Linux timerfd on the same monotonic clock does not.
"""

import asyncio
import ctypes
import os
from collections.abc import Callable
from typing import Self

from bench.errors import BenchError

CLOCK_MONOTONIC = 1
TFD_TIMER_ABSTIME = 1
TFD_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC


class _ITimerSpec(ctypes.Structure):
    """`struct itimerspec`: interval, then first expiry, each in seconds and nanoseconds."""

    _fields_ = (("interval_s", ctypes.c_long), ("interval_ns", ctypes.c_long), ("value_s", ctypes.c_long), ("value_ns", ctypes.c_long))


_libc = ctypes.CDLL(None, use_errno=True)


class Timer:
    """Calls `on_due` in the running loop at the monotonic time given to `arm`; one time is set at once."""

    def __init__(self, on_due: Callable[[], None]) -> None:
        self._on_due = on_due
        self._loop = asyncio.get_running_loop()
        try:
            self._fd: int = _libc.timerfd_create(CLOCK_MONOTONIC, TFD_FLAGS)
        except AttributeError:
            raise BenchError("the load generator needs Linux (timerfd)") from None
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._spec = _ITimerSpec()
        self._loop.add_reader(self._fd, self._fire)

    def arm(self, at_ns: int) -> None:
        """Set the next call, replacing one that is still to come; a time in the past is due at once."""
        self._spec.value_s, self._spec.value_ns = divmod(max(at_ns, 1), 1_000_000_000)
        if _libc.timerfd_settime(self._fd, TFD_TIMER_ABSTIME, ctypes.byref(self._spec), None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def close(self) -> None:
        """No call comes after this."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fire(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # it was set anew after it became due
            return
        self._on_due()
