"""Every pod is confined, every connection is one that was meant, and every check can fail."""

import copy
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from machines import SITE, Manifest, Renderer
from pod_rules import pod_specs, project_faults, restricted_faults
from reachability import Party, reaches

pytestmark = pytest.mark.slow


def all_faults(stack: list[Manifest]) -> list[str]:
    return [
        f"{name}: {fault}"
        for name, pod in pod_specs(stack).items()
        for fault in (*restricted_faults(pod), *project_faults(pod, serves=name.startswith("Deployment/")))
    ]


def test_every_pod_is_restricted_and_holds_the_projects_rules(stack: list[Manifest]) -> None:
    assert len(pod_specs(stack)) == 4
    assert all_faults(stack) == []


Breakage = Callable[[Manifest], Any]
POD_BREAKAGES: dict[str, Breakage] = {
    "hostNetwork is true": lambda pod: pod.update(hostNetwork=True),
    "hostPID is true": lambda pod: pod.update(hostPID=True),
    "type hostPath": lambda pod: pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
    "no sizeLimit": lambda pod: pod["volumes"].append({"name": "free", "emptyDir": {}}),
    "automountServiceAccountToken is not false": lambda pod: pod.pop("automountServiceAccountToken"),
    "no service account of its own": lambda pod: pod.update(serviceAccountName="default"),
    "runAsUser is 0": lambda pod: pod["securityContext"].update(runAsUser=0),
    "runAsGroup is 0": lambda pod: pod["securityContext"].update(runAsGroup=0),
    "seccompProfile": lambda pod: pod["securityContext"].pop("seccompProfile"),
    "sysctls are set": lambda pod: pod["securityContext"].update(sysctls=[{"name": "kernel.shm_rmid_forced", "value": "1"}]),
    "grace period ends before": lambda pod: pod.update(terminationGracePeriodSeconds=5),
}
CONTAINER_BREAKAGES: dict[str, Breakage] = {
    "allowPrivilegeEscalation": lambda container: container["securityContext"].pop("allowPrivilegeEscalation"),
    "privileged": lambda container: container["securityContext"].update(privileged=True),
    "runAsNonRoot": lambda container: container["securityContext"].update(runAsNonRoot=False),
    "do not drop ALL": lambda container: container["securityContext"].pop("capabilities"),
    "capabilities are added": lambda container: container["securityContext"]["capabilities"].update(add=["SYS_PTRACE"]),
    "readOnlyRootFilesystem": lambda container: container["securityContext"].update(readOnlyRootFilesystem=False),
    "hostPort is set": lambda container: container["ports"][0].update(hostPort=80),
    "neither digest nor explicit tag": lambda container: container.update(image="registry.example/vllm:latest"),
    "memory has no request or no limit": lambda container: container["resources"]["limits"].pop("memory"),
    "ephemeral-storage has no request": lambda container: container["resources"]["requests"].pop("ephemeral-storage"),
    "no startupProbe": lambda container: container.pop("startupProbe"),
    "no preStop": lambda container: container.pop("lifecycle"),
    "secret may be in the environment": lambda container: container["env"].append({"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
    "nvidia.com/gpu differs": lambda container: container["resources"]["limits"].update({"nvidia.com/gpu": "2"}),
}


@pytest.mark.parametrize("fault", [*POD_BREAKAGES, *CONTAINER_BREAKAGES])
def test_a_broken_pod_turns_the_check_red(generated: dict[str, Path], manifests: Renderer, fault: str) -> None:
    stack = copy.deepcopy(manifests(generated["cuda"], SITE))
    pod = pod_specs(stack)["Deployment/stackproof-engine"]
    if fault in POD_BREAKAGES:
        POD_BREAKAGES[fault](pod)
    else:
        CONTAINER_BREAKAGES[fault](pod["containers"][0])
    faults = all_faults(stack)
    assert any(fault in found for found in faults)
    assert all(found.startswith("Deployment/stackproof-engine: ") for found in faults)


def component(name: str) -> Party:
    return Party({"app.kubernetes.io/name": "stackproof", "app.kubernetes.io/instance": "stackproof", "app.kubernetes.io/component": name})


PARTIES = {
    **{name: component(name) for name in ("engine", "gateway", "authz", "bench")},
    "ingress": Party({"app.kubernetes.io/name": "ingress-controller"}, namespace="ingress"),
    "dns": Party({"k8s-app": "kube-dns"}, namespace="kube-system"),
    "neighbour": Party({"app": "other"}),
    "other installation": Party({**component("gateway").labels, "app.kubernetes.io/instance": "second"}),
    "gateway look-alike": Party(component("gateway").labels, namespace="elsewhere"),
    "internet": Party(address="93.184.215.14"),
    "metadata service": Party(address="169.254.169.254"),
}
PORTS = {"engine": 8000, "gateway": 8080, "authz": 9000}
MEANT = {
    ("gateway", "engine", 8000, "TCP"),
    ("gateway", "authz", 9000, "TCP"),
    ("bench", "gateway", 8080, "TCP"),
    ("ingress", "gateway", 8080, "TCP"),
    ("gateway", "dns", 53, "UDP"),
    ("gateway", "dns", 53, "TCP"),
    ("bench", "dns", 53, "UDP"),
    ("bench", "dns", 53, "TCP"),
}
OURS = {"engine", "gateway", "authz", "bench"}


def open_connections(policies: list[Manifest]) -> set[tuple[str, str, int, str]]:
    """All that is possible from or to our pods, over every port that anybody listens on."""
    questions = {(port, "TCP") for port in (*PORTS.values(), 53, 80, 443, 22)} | {(53, "UDP")}
    return {
        (source, target, port, protocol)
        for source in PARTIES
        for target in PARTIES
        if source != target and {source, target} & OURS
        for port, protocol in questions
        if reaches(policies, PARTIES[source], PARTIES[target], port, protocol=protocol)
    }


def test_exactly_the_meant_connections_are_possible(stack: list[Manifest]) -> None:
    assert open_connections([manifest for manifest in stack if manifest["kind"] == "NetworkPolicy"]) == MEANT


@pytest.mark.parametrize("dropped", ["default-deny", "engine", "gateway", "authz", "bench"])
def test_the_matrix_notices_a_policy_that_opens_or_is_missing(generated: dict[str, Path], manifests: Renderer, dropped: str) -> None:
    policies = copy.deepcopy([manifest for manifest in manifests(generated["cpu"], SITE) if manifest["kind"] == "NetworkPolicy"])
    (policy,) = [policy for policy in policies if policy["metadata"]["name"] == f"stackproof-{dropped}"]
    policy["spec"]["ingress"] = [{}]
    assert open_connections(policies) - MEANT


def test_no_client_reaches_the_gateway_unless_named(generated: dict[str, Path], manifests: Renderer, tmp_path: Path) -> None:
    (tmp_path / "closed.yaml").write_text("networkPolicy: {gatewayClients: []}")
    rendered = manifests(generated["cpu"], SITE, tmp_path / "closed.yaml")
    policies = [manifest for manifest in rendered if manifest["kind"] == "NetworkPolicy"]
    assert {source for source, target, *_ in open_connections(policies) if target == "gateway"} == {"bench"}


def test_secrets_are_mounted_files_and_nothing_else(stack: list[Manifest]) -> None:
    assert "Secret" not in {manifest["kind"] for manifest in stack}
    mounted = {name: {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume} for name, pod in pod_specs(stack).items()}
    assert {name.split("-")[1]: secrets for name, secrets in mounted.items()} == {
        "engine": {"stackproof-engine-key"},
        "authz": {"stackproof-engine-key", "stackproof-client-keys"},
        "gateway": set(),
        "bench": {"stackproof-bench-key"},
    }


def test_the_engines_key_is_read_from_its_file_when_it_starts(stack: list[Manifest], tmp_path: Path) -> None:
    """The rendered shell command, run with the key's real place swapped for a file here and the engine for a printer."""
    (tmp_path / "key").write_text("canary key with spaces\n")
    (engine,) = pod_specs(stack)["Deployment/stackproof-engine"]["containers"]
    shell, flag, script, name, *_ = engine["command"]
    script = script.replace("/run/secrets/stackproof/engine-key", str(tmp_path / "key"))
    printer = ["/bin/sh", "-c", 'printf "%s|%s" "$VLLM_API_KEY" "$*"', "printer"]
    done = subprocess.run([shell, flag, script, name, *printer, *engine["args"]], capture_output=True, text=True, check=True, timeout=10)
    assert done.stdout == f"canary key with spaces|{' '.join(engine['args'])}"
    (tmp_path / "key").unlink()
    assert subprocess.run([shell, flag, script, name, *printer], capture_output=True, check=False, timeout=10).returncode != 0
