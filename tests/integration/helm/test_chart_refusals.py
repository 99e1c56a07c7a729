"""Bad values end in one line that names the key and the mend."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from machines import CHART, SITE, Renderer

from stack.serving.helm_binary import HelmError

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"images": {"engine": {"repository": ""}}}, "images.engine.repository: name an image"),
        ({"images": {"tools": {"digest": ""}}}, "images.tools.digest: set sha256:"),
        ({"images": {"gateway": {"digest": "", "tag": "v1.40.0"}}}, 'accept the tag "v1.40.0"'),
        ({"model": {"existingClaim": ""}}, "model.existingClaim: name the PersistentVolumeClaim"),
        ({"secrets": {"engineKey": {"name": ""}}}, "secrets.engineKey.name: name an existing Secret"),
        ({"secrets": {"clientKeys": {"name": ""}}}, "secrets.clientKeys.name: name an existing Secret"),
        ({"secrets": {"benchKey": {"name": ""}}}, "secrets.benchKey.name: name an existing Secret"),
        ({"bench": {"resultsClaim": ""}}, "bench.resultsClaim: name the PersistentVolumeClaim"),
        ({"gateway": {"config": ""}}, "`stackproof chart values` writes"),
    ],
)
def test_a_missing_value_is_named_with_its_mend(generated: dict[str, Path], manifests: Renderer, tmp_path: Path, values: dict[str, Any], words: str) -> None:
    with pytest.raises(HelmError) as refused:
        manifests(generated["cpu"], SITE, write(tmp_path, values))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_all_that_is_missing_is_told_at_once(manifests: Renderer) -> None:
    with pytest.raises(HelmError) as refused:
        manifests()
    for key in ("images.engine", "images.gateway", "images.tools", "model.existingClaim", "secrets.engineKey", "secrets.clientKeys", "engine.args"):
        assert key in str(refused.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"replicaz": 2}, "replicaz"),
        ({"engine": {"privileged": True}}, "privileged"),
        ({"networkPolicy": {"enabled": False}}, "enabled"),
        ({"podSecurity": {"runAsUser": 0}}, "runAsUser"),
        ({"images": {"engine": {"tag": "latest"}}}, "/images/engine/tag"),
        ({"images": {"engine": {"digest": "sha256:short"}}}, "/images/engine/digest"),
        ({"gateway": {"port": 80}}, "/gateway/port"),
        ({"engine": {"args": ["--api-key", "canary"]}}, "/engine/args/0"),
        ({"engine": {"env": [{"name": "VLLM_API_KEY", "value": "canary"}]}}, "/engine/env/0/name"),
        ({"engine": {"resources": {"limits": {"memory": None}}}}, "memory"),
        ({"networkPolicy": {"gatewayClients": [{}]}}, "/networkPolicy/gatewayClients/0"),
    ],
)
def test_a_value_the_schema_does_not_know_or_allow_is_refused_by_name(
    generated: dict[str, Path], manifests: Renderer, tmp_path: Path, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(HelmError) as refused:
        manifests(generated["cpu"], SITE, write(tmp_path, values))
    assert words in str(refused.value)


def test_a_tag_is_accepted_once_it_is_allowed(generated: dict[str, Path], manifests: Renderer, tmp_path: Path) -> None:
    allowed = {"images": {"allowTags": True, "gateway": {"digest": "", "tag": "v1.40.0"}}}
    rendered = manifests(generated["cpu"], SITE, write(tmp_path, allowed))
    images = [manifest["spec"]["template"]["spec"]["containers"][0]["image"] for manifest in rendered if manifest["kind"] == "Deployment"]
    assert "registry.example/envoy:v1.40.0" in images


def test_the_schema_is_closed_and_described_throughout() -> None:
    schema = yaml.load((CHART / "values.schema.json").read_text(), yaml.CSafeLoader)
    Draft202012Validator.check_schema(schema)
    nodes = list(walk(schema))
    assert len(nodes) > 80
    assert [node for node in nodes if node.get("type") == "object" and node.get("additionalProperties") is not False] == []
    properties = {name: child for node in nodes if "properties" in node for name, child in node["properties"].items()}
    assert [name for name, child in properties.items() if not ({"description", "$ref"} & child.keys())] == []


def walk(node: Any) -> Any:
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from walk(child)
    elif isinstance(node, list):
        for child in node:
            yield from walk(child)


def write(folder: Path, values: dict[str, Any]) -> Path:
    path = folder / "values.yaml"
    path.write_text(yaml.dump(values, Dumper=yaml.CSafeDumper))
    return path
