"""Quiet while times are taken (edge)."""

import contextlib
import gc
import sys
from collections.abc import Iterator

SWITCH_INTERVAL_S = 0.0005
"""How long another thread (the progress bar) may keep the interpreter from the event loop; Python's default is 5 ms."""


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """No garbage collection and short thread switches; nothing that the run makes is cyclic and lasting."""
    was_enabled, interval_s = gc.isenabled(), sys.getswitchinterval()
    gc.collect()
    gc.disable()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(interval_s)
        if was_enabled:
            gc.enable()
