"""An inventory as MLPerf's system description (logic).

Fields: SYSTEM_DESC_REQUIRED_FIELDS of mlcommons/inference, tools/submission/submission_checker/constants.py
(v6.1). Its checker looks its fields up by name and ignores others, so how each value is known stands beside them
under `marks`. Unknown is "" there, which the checker refuses for the fields that need a meaningful answer.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from stack.hardware_profiles.inventory import Accelerator, Inventory, Mark

GB, GIB, MIB = 10**9, 1 << 30, 1 << 20
NONE = "N/A"
FRAMEWORKS = ("vllm", "torch")
OTHERS = ("ray", "transformers", "triton", "nccl", "cuda_runtime")

Answer = tuple[str, Mark]
UNKNOWN: Answer = ("", "unknown")


def system_description(inventory: Inventory) -> dict[str, object]:
    """All required fields as text, in the checker's order, then `marks`."""
    answers = {name: answer(inventory) for name, answer in FIELDS.items()}
    return {**{name: value for name, (value, _) in answers.items()}, "marks": {name: how for name, (_, how) in answers.items()}}


def _known(value: object) -> Answer:
    return UNKNOWN if value is None or value == "" else (str(value), "detected")


def _field(path: str) -> Callable[[Inventory], Answer]:
    """One value of the inventory, as it is known there."""

    def answer(inventory: Inventory) -> Answer:
        value: object = inventory
        for name in path.split("."):
            value = getattr(value, name)
        return UNKNOWN if value is None else (str(value), "declared" if inventory.marks.get(path) == "declared" else "detected")

    return answer


def _first(*answers: Callable[[Inventory], Answer]) -> Callable[[Inventory], Answer]:
    """The first that is known."""
    return lambda inventory: next((found for answer in answers if (found := answer(inventory)) != UNKNOWN), UNKNOWN)


def _cores_per_socket(inventory: Inventory) -> Answer:
    cores, sockets = inventory.cpu.physical_cores, inventory.cpu.sockets
    return UNKNOWN if cores is None or not sockets else _known(cores // sockets if cores % sockets == 0 else f"{cores} in {sockets} sockets")


def _frequency(inventory: Inventory) -> Answer:
    return UNKNOWN if inventory.cpu.max_mhz is None else _known(f"{inventory.cpu.max_mhz:g} MHz maximum")


def _caches(inventory: Inventory) -> Answer:
    return _known(", ".join(f"L{each.level} {each.kind}: {each.instances} x {_cache_size(each.size_bytes)}" for each in inventory.cpu.caches))


def _cache_size(size: int | None) -> str:
    return "unknown size" if size is None else f"{size >> 20} MiB" if size >= MIB and size % MIB == 0 else f"{size >> 10} KiB"


def _memory(inventory: Inventory) -> Answer:
    return _known(_gib(inventory.memory.total_bytes))


def _modules(inventory: Inventory) -> Answer:
    """As in `24 x 64 GiB DDR5 at 5600 MT/s, Micron MTC40F2046S1RC64BD2`."""
    counted = Counter((each.size_bytes, each.kind, each.speed_mt_s, each.manufacturer, each.part_number) for each in inventory.memory.dimms)
    return _known("; ".join(f"{count} x {_module(*kind)}" for kind, count in counted.items()))


def _module(size: int | None, kind: str | None, speed: int | None, maker: str | None, part: str | None) -> str:
    board = " ".join(filter(None, (maker, part)))
    what = " ".join(part for part in (_gib(size) or "unknown size", kind, f"at {speed} MT/s" if speed else None) if part)
    return f"{what}, {board}" if board else what


def _storage_capacity(inventory: Inventory) -> Answer:
    sizes = [disk.size_bytes for disk in inventory.storage]
    return UNKNOWN if not sizes or None in sizes else _known(f"{sum(size for size in sizes if size is not None) / GB:.0f} GB")


def _storage_type(inventory: Inventory) -> Answer:
    kinds = {(disk.transport, disk.rotational) for disk in inventory.storage if disk.transport is not None}
    names = {f"{transport}{'' if rotational is None else ' HDD' if rotational else ' SSD'}" for transport, rotational in kinds}
    return _known(", ".join(sorted(names)))


def _networking(inventory: Inventory) -> Answer:
    """Cards alike are counted: `2 x mlx5_core, 100000 Mbit/s, RoCE`."""
    counted = Counter(_card(each.driver, each.speed_mbit_s, each.rdma) for each in inventory.network if not each.virtual)
    return _known("; ".join(f"{count} x {card}" for card, count in counted.items()))


def _card(driver: str | None, speed: int | None, rdma: str | None) -> str:
    return ", ".join([driver or "unknown driver", "unknown speed" if speed is None else f"{speed} Mbit/s", *([rdma.split(" ")[0]] if rdma else [])])


def _cards(inventory: Inventory) -> Answer:
    return UNKNOWN if inventory.reason("network") else _known(sum(not each.virtual for each in inventory.network))


def _count(inventory: Inventory) -> Answer:
    """None found is an answer only when the bus could be searched."""
    return UNKNOWN if not inventory.accelerators and inventory.reason("accelerators.pci") else _known(len(inventory.accelerators))


def _each(read: Callable[[Accelerator], str | None]) -> Callable[[Inventory], Answer]:
    """What all accelerators say, the different answers in order; unknown when one is silent, N/A on a machine without any."""

    def answer(inventory: Inventory) -> Answer:
        if not inventory.accelerators:
            return (NONE, "detected") if _count(inventory) != UNKNOWN else UNKNOWN
        said = [read(each) for each in inventory.accelerators]
        return UNKNOWN if None in said else _known(", ".join(dict.fromkeys(each for each in said if each is not None)))

    return answer


def _without(inventory: Inventory) -> Answer:
    """N/A on a machine without accelerators; nothing that could be read elsewhere."""
    return _each(lambda _: None)(inventory)


def _pcie(each: Accelerator) -> str | None:
    """At its best: an accelerator at rest may have lowered its generation."""
    port = each.pcie
    return None if port is None or port.max_generation is None or port.max_width is None else f"PCIe Gen{port.max_generation} x{port.max_width}"


def _interconnect(inventory: Inventory) -> Answer:
    if len(inventory.accelerators) < 2:
        return (NONE, "detected") if _count(inventory) != UNKNOWN else UNKNOWN
    return _known(", ".join(dict.fromkeys({"nvlink": "NVLink", "nvswitch": "NVSwitch", "xgmi": "xGMI", "pcie": "PCIe"}[link.kind] for link in inventory.links)))


def _framework(inventory: Inventory) -> Answer:
    return _known(_versions(inventory, FRAMEWORKS))


def _other_software(inventory: Inventory) -> Answer:
    software = inventory.software
    drivers = {each.driver for each in inventory.accelerators if each.driver}
    toolkits = [f"{name} {version}" for name, version in (("CUDA", software.cuda), ("ROCm", software.rocm)) if version]
    parts = [_versions(inventory, OTHERS), *sorted(f"driver {each}" for each in drivers), *toolkits, f"Python {software.python}", *software.container_runtimes]
    return _known(", ".join(filter(None, parts)))


def _versions(inventory: Inventory, names: Iterable[str]) -> str:
    return ", ".join(f"{name} {version}" for name in names if (version := inventory.software.version(name)))


def _system(inventory: Inventory) -> Answer:
    return _known(" ".join(filter(None, (inventory.host.vendor, inventory.host.product))))


def _gib(size: int | None) -> str | None:
    return None if size is None else f"{size / GIB:.1f}".removesuffix(".0") + " GiB"


FIELDS: dict[str, Callable[[Inventory], Answer]] = {
    "division": _field("system.division"),
    "submitter": _field("system.submitter"),
    "status": _field("system.status"),
    "system_name": _first(_field("system.name"), _system),
    "number_of_nodes": _field("system.nodes"),
    "host_processor_model_name": _field("cpu.model"),
    "host_processors_per_node": _field("cpu.sockets"),
    "host_processor_core_count": _cores_per_socket,
    "host_memory_capacity": _memory,
    "host_storage_capacity": _storage_capacity,
    "host_storage_type": _storage_type,
    "accelerators_per_node": _count,
    "accelerator_model_name": _each(lambda each: each.name),
    "accelerator_memory_capacity": _each(lambda each: _gib(each.memory_bytes)),
    "framework": _framework,
    "operating_system": _field("software.operating_system"),
    "system_type": _field("system.type"),
    "other_software_stack": _first(_field("system.other_software"), _other_software),
    "host_processor_frequency": _frequency,
    "host_processor_caches": _caches,
    "host_memory_configuration": _first(_field("system.memory_configuration"), _modules),
    "host_processor_interconnect": _field("system.processor_interconnect"),
    "host_networking": _networking,
    "host_networking_topology": _field("system.network_topology"),
    "accelerator_frequency": _each(lambda each: None if each.max_sm_clock_mhz is None else f"{each.max_sm_clock_mhz} MHz maximum"),
    "accelerator_host_interconnect": _each(_pcie),
    "accelerator_interconnect": _first(_field("system.accelerator_interconnect"), _interconnect),
    "accelerator_interconnect_topology": _first(_field("system.accelerator_interconnect_topology"), _without),
    "accelerator_memory_configuration": _first(_field("system.accelerator_memory_kind"), _without),
    "accelerator_on-chip_memories": _first(_field("system.accelerator_on_chip_memories"), _without),
    "cooling": _field("system.cooling"),
    "hw_notes": _field("system.hardware_notes"),
    "sw_notes": _field("system.software_notes"),
    "host_network_card_count": _cards,
    "system_type_detail": _field("system.type_detail"),
}
