"""What a plan is made for: devices of one kind in machines of one kind (pure)."""

import math
import re
from dataclasses import dataclass

from stack.hardware_profiles import Accelerator, Cpu, Inventory
from stack.hardware_profiles.catalog import Entry, find_entry, find_name
from stack.serving.errors import ServingError
from stack.serving.plan.models import Device

GIGA = 10**9
PLATFORMS: dict[str, Device] = {"nvidia": "cuda", "amd": "rocm", "intel gaudi": "hpu"}
"""Vendors, as an inventory spells them, whose accelerators vLLM serves on here."""
SOURCES = frozenset({"nvml", "amdsmi", "hlml"})
"""Who answers for an accelerator whose driver works; one that only the bus shows may have none."""
PATTERN = re.compile(r"(?P<name>[a-z0-9][a-z0-9.-]*?)(?::(?P<devices>[1-9][0-9]?)(?:x(?P<nodes>[1-9][0-9]{0,3}))?)?")


@dataclass(frozen=True)
class Hardware:
    """`device_bytes` is the memory of one device: of the class `memory_class`. `entry` is its catalog entry, None when it has none."""

    device: Device
    name: str
    why: str
    device_bytes: int
    memory_class: str
    per_node: int = 1
    nodes: int = 1
    entry: Entry | None = None
    cpu: Cpu | None = None
    shared_by: int = 1
    """Engines that share the processor; `cpu` and `device_bytes` are the part of one."""

    @property
    def devices(self) -> int:
        return self.per_node * self.nodes

    @property
    def in_words(self) -> str:
        machines = f" in each of {self.nodes} machines" if self.nodes > 1 else ""
        return f"{self.per_node} x {self.name}{machines}" if self.device != "cpu" else self.name


def inventory_hardware(inventory: Inventory) -> Hardware:
    """The accelerators whose driver answers, as many as are like the first; else the processor. ServingError when its memory is unknown."""
    known = [each for each in inventory.accelerators if each.source in SOURCES and each.vendor.lower() in PLATFORMS]
    if not known:
        return _processor(inventory)
    first = known[0]
    alike = [each for each in known if (each.vendor.lower(), each.name, each.memory_bytes) == (first.vendor.lower(), first.name, first.memory_bytes)]
    if first.memory_bytes is None:
        raise ServingError(f"accelerator {first.index} ({first.name}): its driver does not say how much memory it has")
    rest = f"; {len(known) - len(alike)} of another kind are left out" if len(alike) < len(known) else ""
    return Hardware(
        device=PLATFORMS[first.vendor.lower()],
        name=first.name or first.vendor,
        why=f"{_counted(alike)} through its driver{rest}" if len(alike) == 1 else f"{_counted(alike)} through their driver{rest}",
        device_bytes=first.memory_bytes,
        memory_class="measured",
        per_node=len(alike),
        nodes=inventory.system.nodes or 1,
        entry=find_entry(first),
    )


def _counted(alike: list[Accelerator]) -> str:
    name = alike[0].name or alike[0].vendor
    return f"{name} answers" if len(alike) == 1 else f"{len(alike)} x {name} answer"


def _processor(inventory: Inventory) -> Hardware:
    usable = inventory.memory.usable_bytes
    if usable is None:
        field = "memory.available_bytes"
        raise ServingError(f"cannot plan: {field} is unknown ({inventory.reason(field) or 'no probe read it'})")
    return Hardware(
        device="cpu",
        name=inventory.cpu.model or inventory.cpu.architecture,
        why="no accelerator that vLLM serves on and whose driver answers",
        device_bytes=usable,
        memory_class="measured",
        cpu=inventory.cpu,
    )


def catalog_hardware(text: str) -> Hardware:
    """From `NAME`, `NAME:DEVICES` or `NAME:DEVICESxNODES`, as in `h100-sxm:8x2`; ServingError names what is wrong with it.

    Memory is the label's: GB are read as 10^9 bytes, the least that the label can mean.
    """
    found = PATTERN.fullmatch(text)
    if found is None:
        raise ServingError(f"--hardware {text!r}: write NAME, NAME:DEVICES or NAME:DEVICESxNODES, as in h100-sxm:8x2")
    entry = find_name(found["name"])
    device = PLATFORMS.get("intel gaudi" if "gaudi" in entry.name else entry.vendor.lower())
    if device is None or (entry.vendor == "Intel" and device != "hpu"):
        raise ServingError(f"--hardware {entry.name}: no vLLM plan for {entry.title}: choose an accelerator of NVIDIA, AMD or Intel Gaudi")
    if entry.memory.value is None:
        raise ServingError(f"--hardware {entry.name}: the catalog does not know its memory: give an inventory with --inventory")
    return Hardware(
        device=device,
        name=entry.title,
        why=f"asked for: {text}",
        device_bytes=math.floor(entry.memory.value * GIGA / entry.devices),
        memory_class=entry.memory.status,
        per_node=int(found["devices"] or 1),
        nodes=int(found["nodes"] or 1),
        entry=entry,
    )
