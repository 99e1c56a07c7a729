"""Whether the same engine can run beside a running one for a while, and where (pure)."""

from collections.abc import Collection
from dataclasses import replace

from stack.hardware_profiles import Inventory
from stack.serving.errors import ServingError
from stack.serving.plan import GIB
from stack.serving.pools import EngineSpec

SECOND = "-new"
"""Of the name of an engine that took another's place; the next one takes the first name again, so that each has a log of its own."""


def place_beside(engine: EngineSpec, running: Collection[EngineSpec], inventory: Inventory) -> EngineSpec:
    """`engine` at another place: on memory that is free now, or on accelerators that none of `running` uses. ServingError when there is none."""
    name = engine.name.removesuffix(SECOND) if engine.name.endswith(SECOND) else f"{engine.name}{SECOND}"
    if engine.plan.device == "cpu":
        available, needed = inventory.memory.available_bytes, engine.plan.memory.needed_bytes
        if available is None:
            raise ServingError("how much memory is free cannot be read")
        if needed > available:
            raise ServingError(f"a second one needs {needed / GIB:.1f} GiB, and {available / GIB:.1f} GiB are free")
        return replace(engine, name=name)
    needed_devices = engine.plan.parallel.devices
    used = {index for each in running for index in _devices(each)}
    kinds = {each.name for each in inventory.accelerators if each.index in _devices(engine)}
    free = [each.index for each in inventory.accelerators if each.index not in used and each.name in kinds]
    if len(free) < needed_devices:
        raise ServingError(f"a second one needs {needed_devices} accelerators, and {len(free)} are free")
    return replace(engine, name=name, devices=tuple(free[:needed_devices]))


def _devices(engine: EngineSpec) -> tuple[int, ...]:
    """Those that it computes on: of all that it may use, the first."""
    return engine.devices or tuple(range(engine.plan.parallel.devices))
