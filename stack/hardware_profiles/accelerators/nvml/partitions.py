"""The MIG instances of one GPU (edge)."""

from collections.abc import Iterator
from typing import Any

import pynvml

from stack.hardware_profiles.accelerators.nvml.library import ask, text, words
from stack.hardware_profiles.inventory import Partition
from stack.hardware_profiles.tree import Tree, UnreadableError

CORES_A_MULTIPROCESSOR = {(8, 0): 64, (9, 0): 128, (10, 0): 128, (10, 3): 128, (12, 0): 128}
"""By compute capability, of those that can be split: CUDA C++ Programming Guide, Compute Capabilities, 32-bit floating-point lanes."""


def read_partitions(tree: Tree, probe: str, handle: Any) -> tuple[Partition, ...]:
    """Compute instances in the order NVML counts them, which is that of CUDA; none when none are made."""
    most = tree.attempt(f"{probe}.partitions", lambda: int(ask(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle))) or 0
    multiprocessors = tree.attempt(f"{probe}.multiprocessors", lambda: _multiprocessors(handle)) if most else None
    return tuple(_partition(tree, f"{probe}.partitions.{place}", part, multiprocessors) for place, part in enumerate(_made(tree, probe, handle, most)))


def _made(tree: Tree, probe: str, handle: Any, most: int) -> Iterator[Any]:
    """Handles of those that exist; the places in between are empty and told as not found."""
    for place in range(most):
        try:
            yield pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
        except pynvml.NVMLError as error:
            if error.value != pynvml.NVML_ERROR_NOT_FOUND:
                tree.note(f"{probe}.partitions", words(error))
                return


def _partition(tree: Tree, probe: str, part: Any, multiprocessors: int | None) -> Partition:
    attributes = tree.attempt(probe, lambda: ask(pynvml.nvmlDeviceGetAttributes_v2, part))
    return Partition(
        name=tree.attempt(f"{probe}.name", lambda: profile_name(text(ask(pynvml.nvmlDeviceGetName, part)))) or "unknown",
        memory_bytes=None if attributes is None else int(attributes.memorySizeMB) << 20,
        compute_share=None if attributes is None or multiprocessors is None else attributes.multiprocessorCount / multiprocessors,
        uuid=tree.attempt(f"{probe}.uuid", lambda: tree.identifier(text(ask(pynvml.nvmlDeviceGetUUID, part)))),
    )


def profile_name(name: str) -> str:
    """`3g.20gb` of `NVIDIA A100-SXM4-40GB MIG 3g.20gb`."""
    return name.rpartition(" MIG ")[2]


def _multiprocessors(handle: Any) -> int:
    """Of the whole GPU, computed: NVML tells its CUDA cores only."""
    major, minor = ask(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    if (major, minor) not in CORES_A_MULTIPROCESSOR:
        raise UnreadableError(f"compute capability {major}.{minor}: how many cores a multiprocessor has is not known here")
    return int(ask(pynvml.nvmlDeviceGetNumGpuCores, handle)) // CORES_A_MULTIPROCESSOR[major, minor]
