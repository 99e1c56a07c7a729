"""MIG instances of NVIDIA GPUs at this moment (edge). NVML tells their memory; utilization, power and clocks it tells of the whole GPU alone."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pynvml

from stack.hardware_profiles.accelerators.nvml.partitions import profile_name
from stack.hardware_profiles.telemetry.asking import Device
from stack.hardware_profiles.telemetry.readers import Reading
from stack.hardware_profiles.tree import Tree

LOOK_AGAIN = 10
"""Readings after which the instances are listed anew: they are made and removed while the exporter runs, and listing costs several questions for each."""


class MigInstances:
    """Compute instances by `metrics.MIG`: the index of their GPU, then their own numbers, profile and identifier."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._known: list[Device] = []
        self._readings_left = 0

    def read(self, gpus: Sequence[Device]) -> Iterator[Reading]:
        """An instance that no longer answers is left out, and all are listed anew at the next reading."""
        if self._readings_left <= 0:
            self._known = [instance for gpu in gpus if gpu.handle is not None for instance in self._listed(gpu)]
            self._readings_left = LOOK_AGAIN
        self._readings_left -= 1
        for instance in self._known:
            try:
                memory = pynvml.nvmlDeviceGetMemoryInfo(instance.handle)
            except pynvml.NVMLError:
                self._readings_left = 0
                continue
            yield Reading("stackproof_gpu_mig_memory_used_bytes", memory.used, instance.labels)
            yield Reading("stackproof_gpu_mig_memory_total_bytes", memory.total, instance.labels)

    def _listed(self, gpu: Device) -> Iterator[Device]:
        try:
            places = pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu.handle) if pynvml.nvmlDeviceGetMigMode(gpu.handle)[0] else 0
        except pynvml.NVMLError:
            return
        for place in range(places):
            try:
                handle = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu.handle, place)
            except pynvml.NVMLError:  # an empty place, or a GPU that was lost meanwhile
                continue
            uuid = word(pynvml.nvmlDeviceGetUUID, handle)
            numbers = (word(pynvml.nvmlDeviceGetGpuInstanceId, handle), word(pynvml.nvmlDeviceGetComputeInstanceId, handle))
            profile = profile_name(word(pynvml.nvmlDeviceGetName, handle))
            yield Device((gpu.labels[0], *numbers, profile, uuid and self._tree.identifier(uuid)), handle)


def word(function: Callable[[Any], Any], handle: Any) -> str:
    """NVML's answer as text; empty when there is none, as of a GPU that fell off the bus."""
    try:
        found = function(handle)
    except (pynvml.NVMLError, UnicodeDecodeError):
        return ""
    return found.decode(errors="replace") if isinstance(found, bytes) else str(found)
