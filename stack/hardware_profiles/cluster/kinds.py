"""Nodes grouped into kinds, and what they have in all (logic)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from stack.hardware_profiles.cluster.inventory import ClusterNode, NodeAccelerator, NodeKind

ALIKE = 1.02
"""Nodes of one kind differ in memory by what their kernels keep for themselves; by more than 2 % they are another kind."""


def group(nodes: Sequence[ClusterNode]) -> tuple[NodeKind, ...]:
    """Kinds of node, those with accelerators first, then by number."""
    alike: dict[object, list[ClusterNode]] = defaultdict(list)
    for node in nodes:
        # Allocatable pieces are a matter of health, not of kind.
        alike[tuple(_kind(each) for each in node.accelerators), node.cpus, node.instance_type, node.architecture].append(node)
    kinds = [_summed(part) for members in alike.values() for part in _by_memory(members)]
    return tuple(sorted(kinds, key=lambda kind: (not kind.accelerators, -kind.count, kind.example)))


def devices_by_product(nodes: Iterable[ClusterNode]) -> tuple[dict[str, int], list[str]]:
    """Whole devices by product, and the nodes that offer only parts, whose devices nobody counts."""
    found: Counter[str] = Counter()
    uncounted = []
    for node in nodes:
        for each in node.accelerators:
            if each.devices is not None:
                found[each.product or f"{each.vendor} ({each.resource}, product unknown)"] += each.devices
        divided = {each.vendor for each in node.accelerators if each.partition} - {each.vendor for each in node.accelerators if each.devices}
        if divided:
            uncounted.append(node.name)
    return dict(sorted(found.items())), uncounted


def device_memory(nodes: Iterable[ClusterNode]) -> int | None:
    """Bytes on all whole devices; None when one of unknown size is among them."""
    sizes = [(each.memory_bytes, each.devices) for node in nodes for each in node.accelerators if each.devices]
    return None if any(size is None for size, _ in sizes) else sum((size or 0) * count for size, count in sizes)


def total(values: Iterable[float | None]) -> float | None:
    """A sum with an unknown part, or of nothing, is unknown."""
    known = list(values)
    return sum(value for value in known if value is not None) if known and None not in known else None


def _kind(accelerator: NodeAccelerator) -> NodeAccelerator:
    return accelerator.model_copy(update={"allocatable": None})


def _by_memory(nodes: list[ClusterNode]) -> list[list[ClusterNode]]:
    """Cut where the next larger memory is over 2 % larger: no fixed border can fall inside a kind."""
    ordered = sorted(nodes, key=lambda node: node.memory_bytes or 0)
    cuts = [place for place, (one, next_one) in enumerate(pairwise(ordered), start=1) if (next_one.memory_bytes or 0) > ALIKE * (one.memory_bytes or 0)]
    return [ordered[first:last] for first, last in pairwise([0, *cuts, len(ordered)])]


def _summed(nodes: list[ClusterNode]) -> NodeKind:
    sample = nodes[0]
    accelerators = []
    for place, each in enumerate(sample.accelerators):
        free = total(node.accelerators[place].allocatable for node in nodes)
        accelerators.append(each.model_copy(update={"allocatable": None if free is None else int(free)}))
    return NodeKind(
        count=len(nodes),
        ready=sum(node.ready is True for node in nodes),
        architecture=sample.architecture,
        instance_type=sample.instance_type,
        cpus=sample.cpus,
        least_memory_bytes=sample.memory_bytes,
        most_memory_bytes=nodes[-1].memory_bytes,
        accelerators=tuple(accelerators),
        example=min(node.name for node in nodes),
    )
