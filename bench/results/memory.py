"""Giving memory back (edge)."""

import contextlib
import ctypes

import pyarrow as pa

M_MMAP_THRESHOLD = -3
MAPPED_BYTES = 1 << 20


def give_back_what_is_freed() -> None:
    """Reading a million tokens otherwise leaves twice the memory they need: Arrow's own pool keeps what was freed, and glibc raises the
    size from which it returns a freed array (mallopt(3)). What was freed so far goes back at once (malloc_trim(3))."""
    pa.set_memory_pool(pa.system_memory_pool())
    with contextlib.suppress(AttributeError):  # not glibc
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)
        libc.malloc_trim(0)
