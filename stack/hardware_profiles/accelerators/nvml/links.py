"""NVLink ends of one GPU, and from the ends of all of them the path between each pair (edge)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pynvml

from stack.hardware_profiles.accelerators.nvml.library import ask, sysfs_address, text
from stack.hardware_profiles.inventory import Accelerator, Link
from stack.hardware_profiles.tree import Tree, UnreadableError

VERSIONS = {
    pynvml.NVML_NVLINK_VERSION_1_0: 1,
    pynvml.NVML_NVLINK_VERSION_2_0: 2,
    pynvml.NVML_NVLINK_VERSION_2_2: 2,
    pynvml.NVML_NVLINK_VERSION_3_0: 3,
    pynvml.NVML_NVLINK_VERSION_3_1: 3,
    pynvml.NVML_NVLINK_VERSION_4_0: 4,
    pynvml.NVML_NVLINK_VERSION_5_0: 5,
    pynvml.NVML_NVLINK_VERSION_6_0: 6,
}
PATHS = {
    pynvml.NVML_TOPOLOGY_INTERNAL: "PIX",  # two GPUs on one board meet at its own switch
    pynvml.NVML_TOPOLOGY_SINGLE: "PIX",
    pynvml.NVML_TOPOLOGY_MULTIPLE: "PXB",
    pynvml.NVML_TOPOLOGY_HOSTBRIDGE: "PHB",
    pynvml.NVML_TOPOLOGY_NODE: "NODE",
    pynvml.NVML_TOPOLOGY_SYSTEM: "SYS",
}


@dataclass(frozen=True)
class Ends:
    """The active links of one GPU: how many, of which generation, to which PCI addresses, and how many into a switch."""

    active: int | None = None
    version: int | None = None
    peers: tuple[str, ...] = ()
    switched: int = 0


def read_ends(tree: Tree, probe: str, handle: Any) -> Ends:
    """Unknown, with the reason, for a GPU without NVLink."""
    active = tree.attempt(f"{probe}.nvlinks_active", lambda: _active(handle))
    if active is None:
        return Ends()
    version = tree.attempt(f"{probe}.nvlink_version", lambda: _version(handle, active[0])) if active else None
    switched, peers = 0, []
    for link in active:
        kind = tree.attempt(f"{probe}.nvlinks.{link}", lambda number=link: ask(pynvml.nvmlDeviceGetNvLinkRemoteDeviceType, handle, number))  # type: ignore[misc]
        if kind == pynvml.NVML_NVLINK_DEVICE_TYPE_SWITCH:
            switched += 1
        elif kind == pynvml.NVML_NVLINK_DEVICE_TYPE_GPU:
            peer = tree.attempt(f"{probe}.nvlinks.{link}.peer", lambda number=link: _peer(handle, number))  # type: ignore[misc]
            peers += [] if peer is None else [peer]
    return Ends(len(active), version, tuple(peers), switched)


def _active(handle: Any) -> list[int]:
    """Numbers of the links that are up. A number past the last one is refused; the first one refused means no NVLink at all."""
    found = []
    for link in range(pynvml.NVML_NVLINK_MAX_LINKS):
        try:
            state = ask(pynvml.nvmlDeviceGetNvLinkState, handle, link)
        except UnreadableError:
            if link == 0:
                raise
            break
        if state == pynvml.NVML_FEATURE_ENABLED:
            found.append(link)
    return found


def _version(handle: Any, link: int) -> int:
    number = ask(pynvml.nvmlDeviceGetNvLinkVersion, handle, link)
    if number not in VERSIONS:
        raise UnreadableError(f"NVML: NVLink version number {number} is not one that this version knows")
    return VERSIONS[number]


def _peer(handle: Any, link: int) -> str:
    return sysfs_address(text(ask(pynvml.nvmlDeviceGetNvLinkRemotePciInfo, handle, link).busId))


def join(tree: Tree, gpus: Sequence[tuple[Accelerator, Any, Ends]]) -> Iterator[Link]:
    """The path between each pair that has one: straight links before a switch before the bus.

    Two GPUs with links into a switch are taken to reach each other over it: NVML does not tell how a fabric is partitioned.
    """
    for (one, one_handle, one_ends), (other, other_handle, other_ends) in combinations(gpus, 2):
        straight = one_ends.peers.count(other.pci_bus or "")
        if straight:
            yield Link(first=one.index, second=other.index, kind="nvlink", count=straight, path=None)
        elif one_ends.switched and other_ends.switched:
            yield Link(first=one.index, second=other.index, kind="nvswitch", count=min(one_ends.switched, other_ends.switched), path=None)
        else:
            probe = f"links.{one.index}-{other.index}"
            path = tree.attempt(probe, lambda first=one_handle, second=other_handle: _path(first, second))  # type: ignore[misc]
            if path is not None:
                yield Link(first=one.index, second=other.index, kind="pcie", count=None, path=path)


def _path(first: Any, second: Any) -> str:
    level = ask(pynvml.nvmlDeviceGetTopologyCommonAncestor, first, second)
    if level not in PATHS:
        raise UnreadableError(f"NVML: topology level {level} is not one that this version knows")
    return PATHS[level]
