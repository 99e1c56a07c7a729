"""All GPUs of a machine and their links (edge)."""

from dataclasses import dataclass

import pynvml

from stack.hardware_profiles.accelerators.nvml.gpu import read_gpu
from stack.hardware_profiles.accelerators.nvml.library import ask
from stack.hardware_profiles.accelerators.nvml.links import Ends, join, read_ends
from stack.hardware_profiles.inventory import Accelerator, Link
from stack.hardware_profiles.tree import Tree


@dataclass(frozen=True)
class Found:
    """Also GPUs that no longer answer; no links where nothing told of any."""

    accelerators: tuple[Accelerator, ...] = ()
    links: tuple[Link, ...] = ()


def read_nvml(tree: Tree) -> Found:
    """Everything the library counts; nothing, and the reason in `accelerators.nvml`, without library or driver."""
    if tree.attempt("accelerators.nvml", lambda: ask(pynvml.nvmlInit) or True) is None:
        return Found()
    try:
        count = tree.attempt("accelerators.nvml.count", lambda: ask(pynvml.nvmlDeviceGetCount)) or 0
        return _read_all(tree, count)
    finally:
        tree.attempt("accelerators.nvml.shutdown", lambda: ask(pynvml.nvmlShutdown))


def _read_all(tree: Tree, count: int) -> Found:
    accelerators, ends = [], []
    for index in range(count):
        probe = f"accelerators.{index}"
        handle = tree.attempt(probe, lambda number=index: ask(pynvml.nvmlDeviceGetHandleByIndex, number))  # type: ignore[misc]
        links = Ends() if handle is None else read_ends(tree, probe, handle)
        gpu = read_gpu(tree, index, handle, links)
        accelerators.append(gpu)
        if handle is not None:
            ends.append((gpu, handle, links))
    return Found(tuple(accelerators), tuple(join(tree, ends)))
