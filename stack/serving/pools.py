"""Engines, and the pools they form (data classes)."""

from dataclasses import dataclass

from stack.serving.listed import Task
from stack.serving.models import CatalogModel
from stack.serving.plan import EnginePlan


@dataclass(frozen=True)
class EngineSpec:
    """One engine. `devices` are the accelerators it may use, empty for all, or on a processor."""

    name: str
    served_name: str
    task: Task
    plan: EnginePlan
    devices: tuple[int, ...] = ()


@dataclass(frozen=True)
class PoolSpec:
    """Engines that serve the same model by the same plan."""

    name: str
    served_name: str
    task: Task
    catalog: CatalogModel
    plan: EnginePlan
    engines: tuple[EngineSpec, ...]
    canary_of: str | None = None
    """The pool it is tried beside."""
    canary_percent: float = 0
