"""Giving memory back (edge)."""

import contextlib
import ctypes

import pyarrow as pa

M_MMAP_THRESHOLD = -3
MAPPED_BYTES = 1 << 20


def give_back_what_is_freed() -> None:
    """Reading a million tokens otherwise leaves twice the memory they need: Arrow's own pool keeps what was freed, and glibc raises the
    size from which it returns a freed array (mallopt(3)). Calling it again changes nothing."""
    pa.set_memory_pool(pa.system_memory_pool())
    with contextlib.suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)
