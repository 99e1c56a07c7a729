"""The device under test, by torch's name (edge)."""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import pynvml

from stack.hardware_profiles.accelerators.nvml.library import ask, pci_address, text
from stack.hardware_profiles.inventory import Accelerator, Inventory
from stack.hardware_profiles.profile.errors import ProfileError
from stack.hardware_profiles.profile.models import Group
from stack.hardware_profiles.tree import UnreadableError

NEED_TORCH = frozenset({Group.GEMM, Group.MEMORY, Group.COPIES, Group.COLLECTIVES})


@dataclass(frozen=True)
class Device:
    """`handle` is NVML's, `accelerator` the inventory's; both None for a CPU."""

    name: str
    title: str
    last_level_cache_bytes: int | None
    memory_bytes: int | None
    accelerator: Accelerator | None = None
    handle: Any = None

    @property
    def cuda(self) -> bool:
        return self.name.startswith("cuda")


def open_device(wanted: str | None, groups: frozenset[Group], inventory: Inventory) -> Device:
    """`wanted` None takes the first CUDA device, else the CPU. ProfileError names the option and the mend."""
    if wanted is not None and not re.fullmatch(r"cpu|cuda:[0-9]{1,3}", wanted):
        raise ProfileError(f"--device {wanted}: must be cpu or cuda:N")
    if not groups & NEED_TORCH:
        return _cpu(inventory)
    if find_spec("torch") is None:
        needing = ", ".join(sorted(groups & NEED_TORCH))
        raise ProfileError(f"torch is not installed, which {needing} need: python scripts/bootstrap.py cpu (or gpu), or --only storage,network")
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "cpu" or (wanted is None and not count):
        return _cpu(inventory)
    index = int((wanted or "cuda:0").partition(":")[2])
    if index >= count:
        raise ProfileError(f"--device {wanted}: torch sees {count or 'no'} CUDA device{'s' if count != 1 else ''}: choose cpu or another")
    return _cuda(index, torch.cuda.get_device_properties(index), inventory)


def last_level_cache(inventory: Inventory) -> int | None:
    """All instances of the highest level together; None where a size is unknown."""
    caches = [cache for cache in inventory.cpu.caches if cache.kind != "instruction"]
    top = max((cache.level for cache in caches), default=0)
    sizes = [cache.size_bytes and cache.size_bytes * cache.instances for cache in caches if cache.level == top]
    return sum(size for size in sizes if size) if sizes and all(sizes) else None


def _cpu(inventory: Inventory) -> Device:
    cpu = inventory.cpu
    return Device("cpu", cpu.model or cpu.architecture, last_level_cache(inventory), inventory.memory.usable_bytes)


def _cuda(index: int, properties: Any, inventory: Inventory) -> Device:
    handle, address = nvml_handle(str(getattr(properties, "uuid", "")))
    accelerator = next((each for each in inventory.accelerators if address and each.pci_bus == address), None)
    cache = getattr(properties, "L2_cache_size", None) or None
    return Device(f"cuda:{index}", properties.name, cache, properties.total_memory, accelerator, handle)


def nvml_handle(uuid: str) -> tuple[Any, str]:
    """NVML's handle, and the PCI address as sysfs writes it, of the GPU with torch's UUID: CUDA_VISIBLE_DEVICES may number them otherwise.

    None and an empty address when NVML knows no such GPU, as for a MIG instance.
    """
    try:
        ask(pynvml.nvmlInit)
        for index in range(ask(pynvml.nvmlDeviceGetCount)):
            handle = ask(pynvml.nvmlDeviceGetHandleByIndex, index)
            if uuid and text(ask(pynvml.nvmlDeviceGetUUID, handle)).lower().removeprefix("gpu-") == uuid.lower().removeprefix("gpu-"):
                return handle, pci_address(handle)
    except UnreadableError:
        pass
    return None, ""
