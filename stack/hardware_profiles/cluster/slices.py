"""Devices of Dynamic Resource Allocation, from ResourceSlices (logic)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from stack.hardware_profiles.cluster.inventory import Extended, NodeAccelerator
from stack.hardware_profiles.cluster.quantity import whole
from stack.hardware_profiles.cluster.wire import Amount, Attribute, Device, ResourceSlice

V = TypeVar("V")

DRIVERS = {
    "gpu.nvidia.com": "NVIDIA",
    "gpu.amd.com": "AMD",
    "gpu.intel.com": "Intel",
    "gaudi.intel.com": "Intel Gaudi",
    "neuron.aws.com": "AWS",
    "tpu.google.com": "Google",
}


@dataclass
class NodeDevices:
    """What slices say of one node."""

    accelerators: list[NodeAccelerator] = field(default_factory=list)
    others: dict[str, Extended] = field(default_factory=dict)


@dataclass(frozen=True)
class Devices:
    by_node: Mapping[str, NodeDevices]
    unplaced: int
    incomplete: tuple[str, ...]
    """Pools of which the API did not have all slices, as driver/pool."""


def read_slices(slices: Iterable[ResourceSlice]) -> Devices:
    """Every device once: a driver that renews a pool leaves slices of an older generation behind for a while, and they do not count."""
    pools: dict[tuple[str, str], list[ResourceSlice]] = defaultdict(list)
    for each in slices:
        pools[each.spec.driver, each.spec.pool.name].append(each)
    counted: dict[str, Counter[NodeAccelerator]] = defaultdict(Counter)
    others: dict[str, Counter[str]] = defaultdict(Counter)
    unplaced, incomplete = 0, []
    for (driver, pool), members in sorted(pools.items()):
        newest = max(each.spec.pool.generation for each in members)
        current = [each for each in members if each.spec.pool.generation == newest]
        if len(current) < current[0].spec.pool.resource_slice_count:
            incomplete.append(f"{driver}/{pool}")
        for each in current:
            devices, node = each.spec.devices or [], each.spec.node_name
            if not node:
                unplaced += len(devices)
            elif vendor := DRIVERS.get(driver):
                counted[node].update(_accelerator(driver, vendor, device) for device in devices)
            else:
                others[node][driver] += len(devices)
    by_node = {node: NodeDevices() for node in counted.keys() | others.keys()}
    for node, kinds in counted.items():
        by_node[node].accelerators = [_times(kind, count) for kind, count in kinds.items()]
    for node, drivers in others.items():
        by_node[node].others = {driver: Extended(capacity=count, allocatable=None) for driver, count in drivers.items()}
    return Devices(by_node, unplaced, tuple(incomplete))


def _accelerator(driver: str, vendor: str, device: Device) -> NodeAccelerator:
    """One device as a kind; which devices are free is in claims, which are not read."""
    attributes = _unqualified(device.attributes or (device.basic.attributes if device.basic else None) or {})
    capacity = _unqualified(device.capacity or (device.basic.capacity if device.basic else None) or {})
    product, kind = _text(attributes.get("productName")), _text(attributes.get("type"))
    profile = _text(attributes.get("profile"))
    memory = _amount(capacity.get("memory"))
    driver_version = _text(attributes.get("driverVersion"))
    part = f"mig-{profile}" if kind == "mig" and profile else kind if kind not in (None, "gpu") else None
    return NodeAccelerator(
        resource=driver,
        source="dra",
        vendor=vendor,
        product=product,
        memory_bytes=memory,
        driver=driver_version,
        partition=part,
        devices=None if part else 1,
        capacity=1,
        allocatable=None,
        described_by="slices" if product or memory or driver_version else None,
    )


def _times(kind: NodeAccelerator, count: int) -> NodeAccelerator:
    return kind.model_copy(update={"capacity": count, "devices": None if kind.devices is None else count})


def _unqualified(found: Mapping[str, V]) -> dict[str, V]:
    """`gpu.nvidia.com/type` and `type` are the same attribute of that driver."""
    return {name.rpartition("/")[2]: value for name, value in found.items()}


def _text(attribute: Attribute | None) -> str | None:
    return None if attribute is None else attribute.string or attribute.version


def _amount(amount: Amount | str | None) -> int | None:
    return whole(amount.value if isinstance(amount, Amount) else amount)
