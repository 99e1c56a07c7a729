"""From hardware, model and service level to an engine plan: pure arithmetic, each choice with its reason.

In: an inventory, or hardware named from the accelerator catalog; a catalog model; limits. Out: a frozen `EnginePlan` that renders
to vLLM arguments, Helm values and a Ray Serve configuration. It never reads a file, starts anything, or plans what cannot fit.
"""

from stack.serving.plan.hardware import Hardware, catalog_hardware, inventory_hardware
from stack.serving.plan.make import EAGER_ASKED, make_plan
from stack.serving.plan.memory import BLOCK_TOKENS, GIB, plan_memory
from stack.serving.plan.models import EnginePlan, MemoryArithmetic, Parallel, Reason
from stack.serving.plan.service_level import ServiceLevel, parse_service_level
from stack.serving.plan.shares import share_of

__all__ = [
    "BLOCK_TOKENS",
    "EAGER_ASKED",
    "GIB",
    "EnginePlan",
    "Hardware",
    "MemoryArithmetic",
    "Parallel",
    "Reason",
    "ServiceLevel",
    "catalog_hardware",
    "inventory_hardware",
    "make_plan",
    "parse_service_level",
    "plan_memory",
    "share_of",
]
