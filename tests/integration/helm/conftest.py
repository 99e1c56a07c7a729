"""Plans and policies rendered by a real helm; each rendering is made once per session."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.hardware_profiles import Inventory
from stack.serving.helm_binary import find_helm, render
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


@pytest.fixture(scope="session")
def helm() -> Path:
    return find_helm()


@pytest.fixture(scope="session")
def manifests(helm: Path) -> Renderer:
    """`manifests(*values_files, kube="1.37.0")`: what helm renders, parsed."""

    @cache
    def rendered(*values: Path, kube: str = KUBE_VERSIONS[-1]) -> list[Manifest]:
        text = render(helm, CHART, values, release="demo", namespace="stack", kube_version=kube)
        return [document for document in yaml.safe_load_all(text) if document]

    return rendered


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=KUBE_VERSIONS)
def kube(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stack(manifests: Renderer, machine: str, kube: str) -> list[Manifest]:
    """The whole chart for one machine and one Kubernetes version."""
    return manifests(CHART / "ci" / f"{machine}.yaml", SITE, kube=kube)
