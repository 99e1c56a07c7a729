"""Plans and policies rendered by a real helm; each rendering is made once per session."""

from functools import cache
from pathlib import Path

import pytest
import yaml
from machines import CHART, KUBE_VERSIONS, MACHINES, SITE, Manifest, Renderer, plan_for

from stack.serving.helm_binary import find_helm, render
from stack.serving.helm_values import chart_values, values_yaml
from stack.serving.policy import load_policy


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What `stackproof chart values` makes of each machine's plan and the policy that ships, as files."""
    folder = tmp_path_factory.mktemp("values")
    for machine in MACHINES:
        (folder / f"{machine}.yaml").write_text(values_yaml(chart_values(plan_for(machine), load_policy())))
    return {machine: folder / f"{machine}.yaml" for machine in MACHINES}


@pytest.fixture(scope="session")
def helm() -> Path:
    return find_helm()


@pytest.fixture(scope="session")
def manifests(helm: Path) -> Renderer:
    """`manifests(*values_files, kube="1.37.0")`: what helm renders, parsed."""

    @cache
    def rendered(*values: Path, kube: str = KUBE_VERSIONS[-1]) -> list[Manifest]:
        text = render(helm, CHART, values, release="demo", namespace="stack", kube_version=kube)
        return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]

    return rendered


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=KUBE_VERSIONS)
def kube(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stack(manifests: Renderer, generated: dict[str, Path], machine: str, kube: str) -> list[Manifest]:
    """The whole chart for one machine and one Kubernetes version."""
    return manifests(generated[machine], SITE, kube=kube)
