"""The machines the chart is rendered for, and what a rendering is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stack.hardware_profiles import Inventory
from stack.serving.models import find_model
from stack.serving.plan import EnginePlan, make_plan

ROOT = Path(__file__).parents[3]
CHART = ROOT / "helm" / "stackproof"
SITE = CHART / "ci" / "site.yaml"
MACHINES = ("cpu", "cuda")
KUBE_VERSIONS = ("1.28.0", "1.37.0")

Manifest = dict[str, Any]
Renderer = Callable[..., list[Manifest]]


def plan_for(machine: str) -> EnginePlan:
    inventory = Inventory.model_validate_json((ROOT / "tests" / "data" / "machines" / f"{machine}.json").read_text())
    return make_plan(inventory, find_model("smollm2-135m-instruct"))
