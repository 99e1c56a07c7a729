"""A cluster inventory in a few rows for people (logic)."""

from collections.abc import Iterable, Sequence

from stack.hardware_profiles.cluster.inventory import ClusterInventory, NodeAccelerator, NodeKind
from stack.hardware_profiles.cluster.kinds import device_memory, devices_by_product, total

GIB = 1 << 30
KIND_COLUMNS = ("nodes", "accelerators of one node", "driver", "cpus", "memory", "instance type")


def kind_rows(inventory: ClusterInventory) -> Iterable[Sequence[str | None]]:
    """One row per kind of node, and one more for each further kind of accelerator on it; a cell is None where it is unknown."""
    for kind in inventory.kinds:
        first, *more = kind.accelerators or (None,)
        cpus = None if kind.cpus is None else f"{kind.cpus:g}"
        number = str(kind.count) if kind.ready == kind.count else f"{kind.count} ({kind.ready} ready)"
        yield number, *_accelerator_cells(first), cpus, _memory(kind), kind.instance_type or "not labeled"
        for each in more:
            yield "", *_accelerator_cells(each), "", "", ""


def total_rows(inventory: ClusterInventory) -> list[tuple[str, str | None]]:
    nodes = inventory.nodes
    devices, uncounted = devices_by_product(nodes)
    memory, cpus = total(node.memory_bytes for node in nodes), total(node.cpus for node in nodes)
    return [
        ("Kubernetes", inventory.version),
        ("nodes", f"{len(nodes)}, {sum(node.ready is True for node in nodes)} ready, {sum(node.unschedulable for node in nodes)} cordoned"),
        *(("accelerators", f"{count} x {product}") for product, count in devices.items()),
        *([("accelerators", f"on {len(uncounted)} nodes only parts are offered: their devices are not counted")] if uncounted else []),
        *([("accelerators", "none")] if not devices and not uncounted else []),
        *([("accelerator memory", _gib(device_memory(nodes)))] if devices else []),
        ("processors", None if cpus is None else f"{cpus:g}"),
        ("memory", _gib(memory)),
        ("kubelet", _values(node.kubelet for node in nodes)),
        ("operating system", _values(node.operating_system for node in nodes)),
        ("kernel", _values(node.kernel for node in nodes)),
        ("container runtime", _values(node.container_runtime for node in nodes)),
        ("zones", _values(node.zone for node in nodes if node.zone) or "not labeled"),
        ("own inventories", f"of {sum(node.own is not None for node in nodes)} nodes"),
    ]


def _accelerator_cells(each: NodeAccelerator | None) -> tuple[str, str | None]:
    if each is None:
        return "none", ""
    name = f"{each.product or f'{each.vendor} ({each.resource}), product unknown'}, {_gib(each.memory_bytes) or 'memory unknown'}"
    if each.partition:
        return f"{each.capacity} x {each.partition} of {name}", each.driver
    offered = "" if each.capacity == each.devices else f", {each.capacity} places" if each.capacity else ", not offered to pods"
    return f"{each.devices} x {name}{offered}", each.driver


def _memory(kind: NodeKind) -> str | None:
    least, most = _gib(kind.least_memory_bytes), _gib(kind.most_memory_bytes)
    return least if least == most else f"{least or '?'} to {most or '?'}"


def _values(found: Iterable[str | None]) -> str | None:
    """The values that occur, the most frequent first, and how many more there are."""
    counts: dict[str, int] = {}
    for value in found:
        counts[value or "unknown"] = counts.get(value or "unknown", 0) + 1
    ordered = sorted(counts, key=lambda value: (-counts[value], value))
    return "; ".join(f"{value} ({counts[value]})" for value in ordered[:4]) + (f" and {len(ordered) - 4} more" if len(ordered) > 4 else "") or None


def _gib(size: float | None) -> str | None:
    return None if size is None else f"{size / GIB:,.1f} GiB"
