"""Limits of the control groups this process runs in, version 1 or 2 (edge).

A group's limit binds all below it, so the smallest on the way up to the root counts. In a container
the path in /proc/self/cgroup may lie outside what is mounted; then the mounted top is this group.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from stack.hardware_profiles.tree import Tree, UnreadableError, as_integer

MOUNT = "sys/fs/cgroup"
# Version 1 says "no limit" with the largest number of whole pages.
V1_NO_LIMIT = 1 << 62


def memory_limit(tree: Tree, *, total_bytes: int | None) -> int | None:
    """Bytes; None when no group limits memory below what the machine has."""
    limits = [as_integer(text, where="memory.max") for text in _values(tree, "", "memory.max") if text != "max"]
    limits += [as_integer(text, where="memory.limit_in_bytes") for text in _values(tree, "memory", "memory.limit_in_bytes")]
    smallest = min((limit for limit in limits if limit < V1_NO_LIMIT), default=None)
    return None if smallest is None or (total_bytes is not None and smallest >= total_bytes) else smallest


def cpu_limit(tree: Tree) -> float | None:
    """Cores' worth of time; None when no group limits it."""
    limits = []
    for text in _values(tree, "", "cpu.max"):
        quota, _, period = text.partition(" ")
        if quota != "max":
            limits.append(_cores(quota, period))
    for folder in _folders(tree, "cpu"):
        quota = tree.line(f"{folder}/cpu.cfs_quota_us") if tree.exists(f"{folder}/cpu.cfs_quota_us") else "-1"
        if quota != "-1":
            limits.append(_cores(quota, tree.line(f"{folder}/cpu.cfs_period_us")))
    return min(limits, default=None)


def _cores(quota: str, period: str) -> float:
    denominator = as_integer(period, where="the CPU period")
    if denominator == 0:
        raise UnreadableError("the CPU period is 0")
    return as_integer(quota, where="the CPU quota") / denominator


def _values(tree: Tree, controller: str, name: str) -> list[str]:
    return [tree.line(f"{folder}/{name}") for folder in _folders(tree, controller) if tree.exists(f"{folder}/{name}")]


def _folders(tree: Tree, controller: str) -> Iterator[str]:
    """The folder of our group and those above it; `controller` empty means version 2."""
    path = _own_path(tree, controller)
    mounts = [f"{MOUNT}/{controller}"] if controller else [MOUNT, f"{MOUNT}/unified"]
    for mount in mounts:
        for part in [path, *path.parents]:
            folder = f"{mount}/{str(part).strip('/')}".rstrip("/")
            if tree.exists(folder):
                yield folder


def _own_path(tree: Tree, controller: str) -> PurePosixPath:
    """From lines `id:controllers:path`, where version 2 has no controllers."""
    for line in tree.text("proc/self/cgroup").splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3 and controller in fields[1].split(",") and ".." not in PurePosixPath(fields[2]).parts:
            return PurePosixPath("/") / fields[2]
    return PurePosixPath("/")
