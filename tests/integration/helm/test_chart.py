"""The chart as a whole: rendered by a real helm, valid Kubernetes, and the same stack as on one machine."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from kube_schemas import schema_faults
from machines import CHART, MACHINES, ROOT, SITE, Manifest, Renderer, plan_for
from pods_here import POD, Pods
from typer.main import get_command

from bench import load_workload
from stack.cli.bench import app as bench_app
from stack.serving.audit_log import verify_log
from stack.serving.chat import read_key
from stack.serving.envoy_process import envoy_binary
from stack.serving.gateway import render_envoy
from stack.serving.helm_binary import run_helm
from stack.serving.helm_values import chart_values, cluster_addresses, pod_environment, values_yaml
from stack.serving.keys import ApiKey, hash_key, read_keys, write_keys
from stack.serving.policy import load_policy, parse_policy

pytestmark = pytest.mark.slow


def one(stack: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [manifest for manifest in stack if manifest["kind"] == kind and re.fullmatch(name, manifest["metadata"]["name"])]
    return found


def container(stack: list[Manifest], component: str) -> dict[str, Any]:
    (found,) = one(stack, "Deployment", f"stackproof-{component}")["spec"]["template"]["spec"]["containers"]
    return found


@pytest.mark.parametrize("machine", MACHINES)
def test_the_example_values_are_what_plan_and_policy_give(machine: str) -> None:
    path = CHART / "ci" / f"{machine}.yaml"
    expected = values_yaml(chart_values(plan_for(machine), load_policy()))
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(expected)
    assert path.read_text() == expected, "run the tests once with UPDATE_GOLDEN=1 and review the difference"


def test_helm_lints_it_strictly(generated: dict[str, Path], helm: Path, machine: str) -> None:
    assert "0 chart(s) failed" in run_helm(helm, ["lint", "--strict", str(CHART), "--values", str(generated[machine]), "--values", str(SITE)])


def test_every_object_is_valid_in_the_oldest_and_newest_kubernetes(stack: list[Manifest], kube: str) -> None:
    assert [fault for manifest in stack for fault in schema_faults(manifest, kube)] == []
    assert {manifest["kind"] for manifest in stack} == {"ConfigMap", "Deployment", "Job", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"}


def test_the_schema_check_finds_every_fault_and_unknown_kinds(stack: list[Manifest], kube: str) -> None:
    service = one(stack, "Service", "stackproof-gateway")
    broken = {**service, "spec": {**service["spec"], "ports": [{"port": "http"}], "selektor": {}}}
    assert len(schema_faults(broken, kube)) == 2
    assert schema_faults({"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "x"}}, kube) == [
        f"RayCluster/x: no schema of ray.io/v1 RayCluster in Kubernetes {kube}"
    ]


def test_the_engine_runs_the_plan_and_nothing_else(stack: list[Manifest], machine: str) -> None:
    plan, engine = plan_for(machine), container(stack, "engine")
    assert engine["args"] == ["--model", "/models/served", "--host", "0.0.0.0", "--port", "8000", *plan.vllm_arguments()]
    variables = {variable["name"]: variable["value"] for variable in engine["env"]}
    assert pod_environment(plan).items() <= variables.items()
    assert {name for name in plan.environment().keys() & variables.keys() if variables[name] != plan.environment()[name]} <= {"VLLM_CPU_OMP_THREADS_BIND"}
    assert any(mount["mountPath"] == "/models/served" and mount["readOnly"] for mount in engine["volumeMounts"])


def test_a_cuda_plan_asks_for_a_gpu_and_a_cpu_plan_for_none(stack: list[Manifest], machine: str) -> None:
    assert container(stack, "engine")["resources"]["limits"].get("nvidia.com/gpu") == ("1" if machine == "cuda" else None)


def test_gateway_and_policy_service_hold_the_policy_of_one_machine(stack: list[Manifest]) -> None:
    envoy = yaml.load(one(stack, "ConfigMap", "stackproof-gateway")["data"]["envoy.yaml"], yaml.CSafeLoader)
    assert envoy == render_envoy(load_policy(), cluster_addresses("stackproof"))
    assert parse_policy(one(stack, "ConfigMap", "stackproof-authz")["data"]["policy.yaml"], source="ConfigMap") == load_policy()


def test_the_gateway_connects_to_services_that_exist_and_select_pods(stack: list[Manifest]) -> None:
    envoy = yaml.load(one(stack, "ConfigMap", "stackproof-gateway")["data"]["envoy.yaml"], yaml.CSafeLoader)
    for cluster in envoy["static_resources"]["clusters"]:
        address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
        service = one(stack, "Service", address["address"])
        deployment = one(stack, "Deployment", address["address"])
        (port,) = service["spec"]["ports"]
        assert port["port"] == address["port_value"]
        assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
        (container_port,) = deployment["spec"]["template"]["spec"]["containers"][0]["ports"]
        assert (container_port["name"], container_port["containerPort"]) == (port["targetPort"], port["port"])


def test_several_engines_are_all_seen_by_the_gateway_and_replaced_in_turn(generated: dict[str, Path], manifests: Renderer, tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("engine: {replicas: 3}\n")
    stack = manifests(generated["cpu"], SITE, tmp_path / "more.yaml")
    assert one(stack, "Service", "stackproof-engine")["spec"]["clusterIP"] == "None"
    deployment = one(stack, "Deployment", "stackproof-engine")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (3, {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}})
    config = yaml.load(one(stack, "ConfigMap", "stackproof-gateway.*")["data"]["envoy.yaml"], yaml.CSafeLoader)
    engine = config["static_resources"]["clusters"][0]
    assert engine["type"] == "STRICT_DNS"
    assert engine["health_checks"][0]["http_health_check"]["path"] == "/health"


def test_selectors_pick_their_own_pods_alone(stack: list[Manifest]) -> None:
    workloads = {manifest["metadata"]["name"]: manifest for manifest in stack if manifest["kind"] in {"Deployment", "Job"}}
    pods = {name: workload["spec"]["template"]["metadata"]["labels"] for name, workload in workloads.items()}
    for manifest in stack:
        spec = manifest.get("spec", {})
        match manifest["kind"]:
            case "Deployment" | "PodDisruptionBudget":
                selector = spec["selector"]["matchLabels"]
            case "Service":
                selector = spec["selector"]
            case _:
                continue
        assert [name for name, labels in pods.items() if selector.items() <= labels.items()] == [manifest["metadata"]["name"]]


def test_every_pod_uses_the_service_account_of_its_component(stack: list[Manifest]) -> None:
    accounts = {manifest["metadata"]["name"]: manifest for manifest in stack if manifest["kind"] == "ServiceAccount"}
    used = [manifest["spec"]["template"]["spec"]["serviceAccountName"] for manifest in stack if manifest["kind"] in {"Deployment", "Job"}]
    assert sorted(used) == sorted(accounts)
    assert all(account["automountServiceAccountToken"] is False for account in accounts.values())


def test_a_changed_policy_restarts_gateway_and_policy_service_alone(generated: dict[str, Path], manifests: Renderer, tmp_path: Path) -> None:
    before = manifests(generated["cpu"], SITE)
    policy = load_policy()
    smaller = policy.model_copy(update={"limits": policy.limits.model_copy(update={"body_bytes": 1024})})
    (tmp_path / "values.yaml").write_text(values_yaml(chart_values(plan_for("cpu"), smaller)))
    after = manifests(tmp_path / "values.yaml", SITE)
    changed = {
        component
        for component in ("engine", "gateway", "authz")
        if one(before, "Deployment", f"stackproof-{component}")["spec"]["template"] != one(after, "Deployment", f"stackproof-{component}")["spec"]["template"]
    }
    assert changed == {"gateway", "authz"}


def test_no_object_names_a_namespace(stack: list[Manifest]) -> None:
    assert [manifest["metadata"]["name"] for manifest in stack if "namespace" in manifest["metadata"]] == []


def test_another_name_moves_every_object_and_address(manifests: Renderer, tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(values_yaml(chart_values(plan_for("cpu"), load_policy(), name="kisumu")))
    stack = manifests(tmp_path / "values.yaml", SITE)
    assert [manifest["metadata"]["name"] for manifest in stack if not manifest["metadata"]["name"].startswith("kisumu-")] == []
    assert re.findall(r"stackproof-(?:engine|authz|gateway|bench)(?!-key)", yaml.dump_all(stack, Dumper=yaml.CSafeDumper)) == []


def test_without_a_benchmark_nothing_of_it_is_made(generated: dict[str, Path], manifests: Renderer, tmp_path: Path) -> None:
    (tmp_path / "off.yaml").write_text("bench: {enabled: false}")
    names = [manifest["metadata"]["name"] for manifest in manifests(generated["cpu"], SITE, tmp_path / "off.yaml")]
    assert [name for name in names if "bench" in name] == []
    assert len(names) == 18


def test_the_real_envoy_accepts_the_rendered_configuration(stack: list[Manifest], tmp_path: Path) -> None:
    gateway = container(stack, "gateway")
    (tmp_path / "envoy.yaml").write_text(one(stack, "ConfigMap", "stackproof-gateway")["data"]["envoy.yaml"])
    options = [str(tmp_path / "envoy.yaml") if argument == "/etc/stackproof/envoy.yaml" else argument for argument in gateway["args"]]
    done = subprocess.run([envoy_binary(), *options, "--mode", "validate"], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr


def test_the_policy_service_starts_from_its_rendered_command(generated: dict[str, Path], manifests: Renderer, tmp_path: Path) -> None:
    """The container's own command on this machine: its mounts are folders here, its port is a free one."""
    write_keys(tmp_path / "keys.json", (ApiKey(tenant="clinic", sha256=hash_key("sp-client")),))
    objects = {"stackproof-client-keys": {"keys.json": (tmp_path / "keys.json").read_bytes()}, "stackproof-engine-key": {"engine-key": b"sp-engine"}}
    pods = Pods(manifests(generated["cpu"], SITE), tmp_path, objects, {})
    with pods.policy_service(), httpx.Client(base_url=f"http://127.0.0.1:{pods.port(9000)}", trust_env=False) as client:
        assert client.get("/v1/models").status_code == httpx.codes.UNAUTHORIZED
        admitted = client.get("/v1/models", headers={"authorization": "Bearer sp-client"})
        assert (admitted.status_code, admitted.headers["authorization"]) == (httpx.codes.OK, "Bearer sp-engine")
    assert verify_log(pods.inside(f"/audit/{POD}.jsonl")).entries == 2


def test_the_benchmark_command_takes_its_rendered_arguments(stack: list[Manifest]) -> None:
    (bench,) = one(stack, "Job", "stackproof-bench-[0-9a-f]{8}")["spec"]["template"]["spec"]["containers"]
    assert bench["command"] == ["stackproof", "bench", "run"]
    parsed = get_command(bench_app).commands["run"].make_context("run", list(bench["args"])).params
    assert (parsed["workload"], parsed["url"], parsed["model"]) == ("chat-closed", "http://stackproof-gateway:8080", "smollm2-135m-instruct")
    assert parsed["api_key_file"] in [Path(mount["mountPath"]) / "client-key" for mount in bench["volumeMounts"]]
    assert parsed["out"].is_relative_to("/results")
    assert load_workload(parsed["workload"], model=parsed["model"])


def test_the_documented_recipe_makes_keys_the_policy_service_accepts(tmp_path: Path) -> None:
    recipe = (ROOT / "docs" / "kubernetes.md").read_text().split("```sh\n")[1].split("```")[0]
    subprocess.run(["/bin/sh", "-eu", "-c", recipe], cwd=tmp_path, check=True, timeout=10)
    assert read_keys(tmp_path / "keys.json").tenant_of(read_key(tmp_path / "client-key") or "") == "bench"
    assert read_key(tmp_path / "engine-key") != read_key(tmp_path / "client-key")
