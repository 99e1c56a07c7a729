"""Storage below the page cache: fio where it is installed, else a probe of our own."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack.hardware_profiles.profile import direct_io, fio
from stack.hardware_profiles.profile.errors import ProfileError
from stack.hardware_profiles.profile.models import Result, Status
from stack.hardware_profiles.profile.session import Session, Task

MIB = 1 << 20
FILE_BYTES, QUICK_BYTES = 256 * MIB, 64 * MIB
FREE_FACTOR = 4
"""Free space must be so many times the file: a measurement must not fill a disk."""

MEMORY_SYSTEMS = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"})


def measure_storage(session: Session, budget_s: float, folder: Path) -> Iterator[Result]:
    """Sequential write with its sync, sequential read, and 4 KiB random reads one at a time, of the file system that holds `folder`."""
    size = QUICK_BYTES if session.quick else FILE_BYTES
    reason = refusal(folder, size)
    if reason:
        yield from (task.without(Status.NOT_SUPPORTED, reason) for task in tasks(size))
        return
    measured = 0
    try:
        with _scratch(folder) as scratch:
            found = fio.measure(session, scratch, size, budget_s) if fio.installed() else direct_io.measure(session, scratch, size, budget_s)
            for result in found:
                measured += 1
                yield result
    except OSError as error:
        # A disk that fills up or fails ends this part; what was measured before stays.
        yield from (task.without(Status.SKIPPED, f"the disk said: {(error.strerror or str(error)).lower()}") for task in tasks(size)[measured:])


def tasks(size: int) -> tuple[Task, Task, Task]:
    """What is measured, whoever measures it."""
    return direct_io.write_task(size), direct_io.read_task(size), direct_io.random_task(size)


def require_folder(folder: Path) -> None:
    """ProfileError when nothing can be written there: told before anything is measured."""
    if not folder.is_dir():
        raise ProfileError(f"--storage-dir {folder}: no such folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ProfileError(f"--storage-dir {folder}: cannot be written")


def refusal(folder: Path, size: int) -> str:
    """Why this file system is not measured; empty when it is."""
    kind = file_system(folder)
    if kind in MEMORY_SYSTEMS:
        return f"{folder} is on {kind}, which is memory: choose a folder on a disk with --storage-dir"
    free = shutil.disk_usage(folder).free
    if free < FREE_FACTOR * size:
        return f"{free // MIB} MiB free, {FREE_FACTOR} times the test file of {size // MIB} MiB are needed"
    return ""


def file_system(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """Type of the file system that holds `folder`; None when the kernel does not tell.

    By the longest mount point above it: device numbers do not tell btrfs subvolumes and overlays apart.
    """
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return None
    where, found = folder.resolve(), {}
    for line in lines:
        own, _, rest = line.partition(" - ")  # optional fields end with a lone dash
        fields = own.split()
        if len(fields) > 4 and rest:
            point = Path(fields[4].encode().decode("unicode_escape"))  # a space in a path is \040
            if where.is_relative_to(point):
                found[len(point.parts)] = rest.split()[0]
    return found[max(found)] if found else None


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A file's place in a folder of its own, which is removed however this ends."""
    own = Path(tempfile.mkdtemp(prefix=".stackproof-profile-", dir=folder))
    try:
        yield own / "data"
    finally:
        shutil.rmtree(own, ignore_errors=True)
