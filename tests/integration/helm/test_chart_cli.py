"""`stackproof chart` as a user meets it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from machines import ROOT, SITE, Renderer

pytestmark = pytest.mark.slow

NODE = ROOT / "tests" / "data" / "machines" / "cuda.json"
CANARY = "sp-canary-5f1c"


def chart(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stack.cli.main", "chart", *map(str, arguments)]
    return subprocess.run(command, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_values_for_another_node_are_the_same_as_yaml_json_and_file(generated: dict[str, Path], tmp_path: Path) -> None:
    shown = chart("values", "--inventory", NODE)
    assert shown.stdout == generated["cuda"].read_text()
    assert chart("values", "--inventory", NODE, "--out", tmp_path / "values.yaml").stdout == ""
    assert (tmp_path / "values.yaml").read_text() == shown.stdout
    assert json.loads(chart("values", "--inventory", NODE, "--json").stdout) == yaml.load(shown.stdout, yaml.CSafeLoader)


def test_render_prints_the_manifests_and_no_secret_of_the_environment(generated: dict[str, Path], manifests: Renderer, tmp_path: Path) -> None:
    secrets = {"VLLM_API_KEY": CANARY, "HF_TOKEN": CANARY, "OPENAI_API_KEY": CANARY}
    chart("values", "--inventory", NODE, "--out", tmp_path / "values.yaml", **secrets)
    done = chart("render", "-f", tmp_path / "values.yaml", "-f", SITE, "--release", "demo", "--kube-version", "1.37.0", **secrets)
    assert done.returncode == 0, done.stderr
    assert [document for document in yaml.load_all(done.stdout, yaml.CSafeLoader) if document] == manifests(generated["cuda"], SITE)
    assert CANARY not in done.stdout + done.stderr + (tmp_path / "values.yaml").read_text()


def test_a_deployment_becomes_a_pool_for_each_model_and_canary(tmp_path: Path) -> None:
    model = {"model": "smollm2-135m-instruct", "name": "small", "replicas": 2}
    canary = {"model": "smollm2-135m-instruct", "max_model_len": 4096, "percent": 5}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump({"version": 1, "models": [{**model, "canary": canary}]}))
    done = chart("values", "--deployment", tmp_path / "site.yaml", "--inventory", NODE)
    assert done.returncode == 0, done.stderr
    found = yaml.load(done.stdout, yaml.CSafeLoader)
    assert (found["engine"]["replicas"], found["model"]["servedName"], list(found["pools"])) == (2, "small", ["engine-pool-2"])
    again = chart("values", "--deployment", tmp_path / "site.yaml", "--inventory", NODE, "--model", "phi-4")
    assert (again.returncode, again.stdout) == (2, "")
    assert "--deployment names models and their plans: leave --model" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("values", "--inventory", "missing.json"), "missing.json: cannot be read: No such file"),
        (("values", "--inventory", "pyproject.toml"), "Invalid JSON"),
        (("values", "--name", "Under_score"), "lower-case letters"),
        (("values", "--model", "none"), "not in the catalog"),
        (("values", "--deployment", "missing.yaml"), "missing.yaml"),
        (("render", "-f", SITE), "`stackproof chart values` writes"),
        (("render", "-f", SITE, "--chart", "docs"), "no chart in docs"),
        (("render", "-f", SITE, "--kube-version", "1.20.0"), "incompatible with Kubernetes v1.20.0"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: tuple[str | Path, ...], words: str) -> None:
    done = chart(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""
