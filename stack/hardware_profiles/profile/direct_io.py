"""A storage probe of our own (edge): O_DIRECT, so that the page cache is neither read nor filled.

The kernel's own count of bytes fetched from storage (/proc/self/io) checks that reads did not come out of memory.
"""

import errno
import mmap
import os
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from stack.hardware_profiles.profile.models import Group, Result, Status
from stack.hardware_profiles.profile.session import Session, Task
from stack.hardware_profiles.profile.timing import host_clock, repeat

BLOCK = 1 << 20
SMALL = 4096
LEAST_PASSES, MOST_PASSES = 3, 20
LEAST_READS, MOST_READS = 200, 2000
READ_FROM_STORAGE = 0.9
"""Share of the bytes read that storage must have delivered; metadata and read-ahead only add."""

REFUSED = (errno.EINVAL, errno.EOPNOTSUPP)


def write_task(size: int) -> Task:
    return Task("storage.write", Group.STORAGE, "GB/s", float(size), shape=(size,), working_set_bytes=size, note="sequential, blocks of 1 MiB, fsync included")


def read_task(size: int) -> Task:
    return Task("storage.read", Group.STORAGE, "GB/s", float(size), shape=(size,), working_set_bytes=size, note="sequential, blocks of 1 MiB")


def random_task(size: int) -> Task:
    return Task("storage.random_read", Group.STORAGE, "us", None, shape=(SMALL,), working_set_bytes=size, note="4 KiB at a random place, one at a time")


def measure(session: Session, path: Path, size: int, budget_s: float) -> Iterator[Result]:
    """Three results; where O_DIRECT is refused only the write is measured, which its fsync keeps honest."""
    # Pages of their own: O_DIRECT wants memory and offsets aligned to the device's blocks. Random, for disks that compress.
    buffer = mmap.mmap(-1, BLOCK)
    buffer.write(os.urandom(BLOCK))
    try:
        handle, direct = open_direct(path)
        try:
            yield from _measure(session, handle, direct, buffer, size, budget_s)
        finally:
            os.close(handle)
    finally:
        buffer.close()


def open_direct(path: Path) -> tuple[int, bool]:
    """A new file, and whether the file system takes O_DIRECT."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_DIRECT, 0o600), True
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        return os.open(path, flags, 0o600), False


def _measure(session: Session, handle: int, direct: bool, buffer: mmap.mmap, size: int, budget_s: float) -> Iterator[Result]:
    passes = partial(repeat, clock=host_clock, budget_s=budget_s / 3, least=LEAST_PASSES, most=MOST_PASSES)
    _write(handle, buffer, size)  # warm-up: the file gets its blocks
    yield session.timed(write_task(size), lambda: passes(lambda: _write(handle, buffer, size)))
    if not direct:
        for task in (read_task(size), random_task(size)):
            yield task.without(Status.NOT_SUPPORTED, "the file system refuses O_DIRECT: a read would measure the page cache")
        return
    view = memoryview(buffer)
    with view:
        yield _checked(session, read_task(size), lambda: passes(lambda: _read(handle, view, size)), size)
        places = random.Random(0)  # noqa: S311 - places to read, not secrets
        with view[:SMALL] as small:

            def one() -> None:
                os.preadv(handle, [small], places.randrange(size // SMALL) * SMALL)

            reads = partial(repeat, one, clock=host_clock, budget_s=budget_s / 3, least=LEAST_READS, most=MOST_READS)
            yield _checked(session, random_task(size), reads, SMALL)


def _checked(session: Session, task: Task, run: Callable[[], list[float]], each: int) -> Result:
    """Verified when storage delivered what was read; unverified where the kernel does not count it."""
    before = fetched_bytes()
    result = session.timed(task, run)
    after = fetched_bytes()
    if before is None or after is None:
        return result
    share = (after - before) / (each * result.repetitions)
    if share >= READ_FROM_STORAGE:
        return result.model_copy(update={"verified": True})
    if after == before:
        # A network or pass-through file system may not count at all.
        return result.model_copy(update={"note": f"{result.note}; the kernel does not count this file system's reads, so a cache cannot be ruled out"})
    reason = f"only {share:.0%} of the bytes came from storage, the rest out of a cache"
    return result.model_copy(update={"verified": False, "status": Status.INVALID, "reason": reason})


def fetched_bytes(source: Path = Path("/proc/self/io")) -> int | None:
    """Bytes this process caused to be fetched from storage; None where the kernel does not tell."""
    try:
        lines = source.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("read_bytes:")), None)


def _write(handle: int, buffer: mmap.mmap, size: int) -> None:
    for offset in range(0, size, BLOCK):
        done = os.pwrite(handle, buffer, offset)
        if done != BLOCK:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(handle)


def _read(handle: int, view: memoryview, size: int) -> None:
    for offset in range(0, size, BLOCK):
        if os.preadv(handle, [view], offset) != BLOCK:
            raise OSError(errno.EIO, "the file is shorter than what was written")
