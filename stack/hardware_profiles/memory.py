"""Main memory (edge)."""

import os

from stack.hardware_profiles import cgroup
from stack.hardware_profiles.inventory import Dimm, Memory
from stack.hardware_profiles.smbios import parse_dimms
from stack.hardware_profiles.tree import Tree, UnreadableError, as_integer

SMBIOS = "sys/firmware/dmi/tables/DMI"
SHARED = "dev/shm"


def read_memory(tree: Tree) -> Memory:
    info = tree.attempt("memory.meminfo", lambda: _meminfo(tree)) or {}
    total = tree.attempt("memory.total_bytes", lambda: _bytes(info, "MemTotal"))
    return Memory(
        total_bytes=total,
        available_bytes=tree.attempt("memory.available_bytes", lambda: _bytes(info, "MemAvailable")),
        limit_bytes=tree.attempt("memory.limit_bytes", lambda: cgroup.memory_limit(tree, total_bytes=total)),
        swap_bytes=tree.attempt("memory.swap_bytes", lambda: _bytes(info, "SwapTotal")),
        shared_bytes=tree.attempt("memory.shared_bytes", lambda: _shared(tree)),
        locked_limit_bytes=tree.attempt("memory.locked_limit_bytes", lambda: _locked_limit(tree)),
        dimms=tree.attempt("memory.dimms", lambda: _dimms(tree)) or (),
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


def _shared(tree: Tree) -> int:
    """Size of the file system, in use or not."""
    place = tree.path(SHARED)
    if not place.is_mount():
        raise UnreadableError("no file system is mounted there")
    space = os.statvfs(place)
    return space.f_blocks * space.f_frsize


def _locked_limit(tree: Tree) -> int | None:
    """The soft limit of this process; None when there is none."""
    for line in tree.text("proc/self/limits").splitlines():
        if line.startswith("Max locked memory"):
            limit = (line.removeprefix("Max locked memory").split() or [""])[0]
            return None if limit == "unlimited" else as_integer(limit, where="/proc/self/limits")
    raise UnreadableError("/proc/self/limits has no limit of locked memory")


def _dimms(tree: Tree) -> tuple[Dimm, ...]:
    try:
        table = tree.read(SMBIOS)
    except PermissionError:
        raise UnreadableError("the firmware's table may be read by root alone: run with sudo, or declare the modules") from None
    dimms = parse_dimms(table)
    if not dimms:
        raise UnreadableError("the firmware's table lists no fitted memory module")
    return tuple(dimm if dimm.serial is None else dimm.model_copy(update={"serial": tree.identifier(dimm.serial)}) for dimm in dimms)
