"""Main memory (edge)."""

from stack.hardware_profiles import cgroup
from stack.hardware_profiles.inventory import Memory
from stack.hardware_profiles.tree import Tree, UnreadableError, as_integer


def read_memory(tree: Tree) -> Memory:
    info = tree.attempt("memory.meminfo", lambda: _meminfo(tree)) or {}
    total = tree.attempt("memory.total_bytes", lambda: _bytes(info, "MemTotal"))
    return Memory(
        total_bytes=total,
        available_bytes=tree.attempt("memory.available_bytes", lambda: _bytes(info, "MemAvailable")),
        limit_bytes=tree.attempt("memory.limit_bytes", lambda: cgroup.memory_limit(tree, total_bytes=total)),
    )


def _meminfo(tree: Tree) -> dict[str, str]:
    pairs = (line.partition(":") for line in tree.text("proc/meminfo").splitlines())
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def _bytes(info: dict[str, str], key: str) -> int:
    """The kernel writes `kB` and means KiB."""
    number, _, unit = info.get(key, "").partition(" ")
    if unit != "kB":
        raise UnreadableError(f"/proc/meminfo has no {key} in kB")
    return as_integer(number, where=f"/proc/meminfo {key}") * 1024
