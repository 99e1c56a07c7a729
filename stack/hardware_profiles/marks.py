"""How each value of an inventory is known: detected, declared or unknown (logic).

Paths are those of the probes: a list's members go by what names them (`storage.nvme0n1.model`,
`accelerators.0.memory_bytes`), not by their place.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel

from stack.hardware_profiles.inventory import Inventory, Mark

# What is about the inventory and not about the machine.
NOT_VALUES = frozenset(("schema_version", "probes", "marks", "warnings"))
# What names a member of a list; members of other lists have no name, and the list is one value.
NAMES = {
    "storage": "device",
    "network": "name",
    "accelerators": "index",
    "memory.dimms": "slot",
    "cpu.nodes": "node",
    "software.packages": "name",
    "software.drivers": "name",
}
# Where the source of a whole list has a name of its own.
SOURCES = {"accelerators": "accelerators.pci", "software.packages": "software", "links": "accelerators"}


@dataclass(frozen=True)
class Leaf:
    """One value: its dotted path, the keys and places that lead to it in the model's JSON form, and itself."""

    path: str
    route: tuple[str | int, ...]
    value: object


def leaves(inventory: Inventory) -> Iterator[Leaf]:
    """Every value, in the order of the model; a list of named members is also a value itself."""
    for name in type(inventory).model_fields:
        if name not in NOT_VALUES:
            yield from _walk(name, (name,), getattr(inventory, name))


def _walk(path: str, route: tuple[str | int, ...], value: object) -> Iterator[Leaf]:
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            if name != NAMES.get(path.rpartition(".")[0]):
                yield from _walk(f"{path}.{name}", (*route, name), getattr(value, name))
        return
    yield Leaf(path, route, value)
    if path in NAMES and isinstance(value, tuple):
        for place, member in enumerate(value):
            name = getattr(member, NAMES[path])
            yield from _walk(f"{path}.{place if name is None else name}", (*route, place), member)


def mark(inventory: Inventory, declared: frozenset[str] = frozenset()) -> Inventory:
    """With the mark of every value. A None that a probe read (no limit is set, nothing is installed) is detected."""
    outcomes: dict[str, bool] = {}
    for probe in inventory.probes:
        outcomes[probe.name] = outcomes.get(probe.name, True) and probe.ok

    def of(leaf: Leaf) -> Mark:
        if leaf.path in declared:
            return "declared"
        if leaf.value is None:
            return "detected" if outcomes.get(leaf.path, False) else "unknown"
        empty = isinstance(leaf.value, tuple) and not leaf.value
        return "unknown" if empty and not outcomes.get(SOURCES.get(leaf.path, leaf.path), True) else "detected"

    return inventory.model_copy(update={"marks": {leaf.path: of(leaf) for leaf in leaves(inventory)}})


def declared_paths(inventory: Inventory) -> frozenset[str]:
    return frozenset(path for path, how in inventory.marks.items() if how == "declared")
