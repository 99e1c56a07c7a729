"""The nodes' own inventories in the chart: confined pods, one ConfigMap each, and readers' rights that are all that reading takes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from admission_rules import DecisionError, refused
from kube_api import FakeCluster, dra_gpu, gpu_node, kubeconfig, resource_slice, rules_of, serving
from kube_schemas import schema_faults
from machines import ROOT, SITE, Manifest, Renderer
from pod_rules import containers, pod_specs, project_faults, restricted_faults
from reachability import Party, reaches

from stack.hardware_profiles.cluster import collect_cluster, connect
from stack.hardware_profiles.cluster.own import SELECTOR, config_map_name
from stack.hardware_profiles.cluster.publish import Place, publish
from stack.hardware_profiles.cluster.rights import RIGHTS
from stack.serving.helm_binary import HelmError

pytestmark = pytest.mark.slow
ON = {"inventory": {"enabled": True, "apiServer": {"cidrs": ["10.0.0.1/32"], "port": 6443}, "runtimeClassName": "nvidia"}}
KUBE = ("1.30.0", "1.37.0")


@pytest.fixture(params=KUBE)
def stack(request: pytest.FixtureRequest, manifests: Renderer, generated: dict[str, Path], tmp_path: Path) -> list[Manifest]:
    return manifests(generated["cpu"], SITE, written(tmp_path), kube=request.param)


def written(folder: Path, **changed: object) -> Path:
    path = folder / "inventory.yaml"
    path.write_text(yaml.dump({"inventory": {**ON["inventory"], **changed}}, Dumper=yaml.CSafeDumper))
    return path


def named(stack: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [each for each in stack if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def test_it_is_off_until_it_is_asked_for(manifests: Renderer, generated: dict[str, Path]) -> None:
    assert [each["metadata"]["name"] for each in manifests(generated["cpu"], SITE) if "inventory" in each["metadata"]["name"]] == []


def test_its_objects_are_valid_and_its_pods_are_restricted(stack: list[Manifest]) -> None:
    ours = [each for each in stack if "inventory" in each["metadata"]["name"]]
    assert {each["kind"] for each in ours} == {
        *("ClusterRole", "DaemonSet", "NetworkPolicy", "Role", "RoleBinding", "ServiceAccount"),
        *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
    }
    assert [fault for each in ours for fault in schema_faults(each, "1.37.0")] == []
    pod = pod_specs(stack)["DaemonSet/stackproof-inventory"]
    assert restricted_faults(pod) == []
    assert project_faults(pod, serves=False) == []
    assert pod["runtimeClassName"] == "nvidia"
    assert pod["tolerations"] == [{"operator": "Exists"}]


def test_a_host_path_would_turn_the_check_red(stack: list[Manifest]) -> None:
    pod = pod_specs(stack)["DaemonSet/stackproof-inventory"]
    assert restricted_faults({**pod, "volumes": [*pod["volumes"], {"name": "host", "hostPath": {"path": "/sys"}}]}) == ["volume host: type hostPath"]


def test_a_pod_reaches_the_api_server_and_nothing_else_and_nobody_reaches_it(stack: list[Manifest]) -> None:
    policies = [each for each in stack if each["kind"] == "NetworkPolicy"]
    labels = {"app.kubernetes.io/name": "stackproof", "app.kubernetes.io/instance": "stackproof"}
    ours, gateway = (Party({**labels, "app.kubernetes.io/component": component}) for component in ("inventory", "gateway"))
    api, dns = Party(address="10.0.0.1"), Party({"k8s-app": "kube-dns"}, namespace="kube-system")
    assert reaches(policies, ours, api, 6443)
    assert not any(reaches(policies, ours, api, port) for port in (80, 443, 10250))
    assert not any(reaches(policies, ours, Party(address=address), 6443) for address in ("10.0.0.2", "169.254.169.254", "93.184.215.14"))
    assert not reaches(policies, ours, gateway, 8080)
    assert not reaches(policies, ours, dns, 53, protocol="UDP")
    assert not reaches(policies, gateway, ours, 8080)


def test_the_pods_account_may_apply_config_maps_and_read_nothing(stack: list[Manifest]) -> None:
    assert named(stack, "Role", "stackproof-inventory")["rules"] == [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "patch"]}]
    binding = named(stack, "RoleBinding", "stackproof-inventory")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "stackproof-inventory", "namespace": "stack"}]
    assert pod_specs(stack)["DaemonSet/stackproof-inventory"]["serviceAccountName"] == "stackproof-inventory"
    assert [each["metadata"]["name"] for each in stack if each["kind"] == "ClusterRoleBinding"] == []


ACCOUNT = "system:serviceaccount:stack:stackproof-inventory"
NODE = "authentication.kubernetes.io/node-name"


def test_the_policy_looks_at_every_writing_of_a_config_map_and_its_binding_denies(stack: list[Manifest]) -> None:
    policy = named(stack, "ValidatingAdmissionPolicy", "stackproof-inventory-stack")["spec"]
    assert policy["failurePolicy"] == "Fail"
    assert policy["matchConstraints"]["resourceRules"] == [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}
    ]
    binding = named(stack, "ValidatingAdmissionPolicyBinding", "stackproof-inventory-stack")["spec"]
    assert binding == {"policyName": "stackproof-inventory-stack", "validationActions": ["Deny"]}


@pytest.mark.parametrize("node", ["n1", "ip-10-0-0-1.eu-west-1.compute.internal", "n1.stackproof"])
def test_admission_lets_a_pod_write_the_config_map_that_the_program_names(stack: list[Manifest], node: str) -> None:
    policy = named(stack, "ValidatingAdmissionPolicy", "stackproof-inventory-stack")
    for operation in ("CREATE", "UPDATE"):
        assert refused(policy, user=ACCOUNT, extra={NODE: [node]}, name=config_map_name("stackproof", node), operation=operation) == []


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        ({NODE: ["n1"]}, config_map_name("stackproof", "n2")),  # another node's
        ({NODE: ["n1"]}, config_map_name("stackproof", "n11")),  # one that begins alike
        ({NODE: ["n1"]}, "stackproof-gateway"),  # a part of the stack's own
        ({NODE: ["n1"]}, config_map_name("other", "n1")),
        ({NODE: ["n1"]}, ""),
        ({NODE: []}, config_map_name("stackproof", "n1")),
        ({NODE: [""]}, config_map_name("stackproof", "n1")),
        ({"other/node-name": ["n1"]}, config_map_name("stackproof", "n1")),  # a token that is bound to no node
        ({}, config_map_name("stackproof", "n1")),
        ({NODE: ["n2", "n1"]}, config_map_name("stackproof", "n1")),
    ],
)
def test_admission_refuses_a_pod_any_other_config_map_and_a_token_without_a_node(stack: list[Manifest], extra: dict[str, list[str]], name: str) -> None:
    policy = named(stack, "ValidatingAdmissionPolicy", "stackproof-inventory-stack")
    assert refused(policy, user=ACCOUNT, extra=extra, name=name) == ["an inventory pod may write the ConfigMap of its own node alone"]


@pytest.mark.parametrize(
    "user", ["kubernetes-admin", "system:serviceaccount:stack:stackproof-gateway", "system:serviceaccount:other:stackproof-inventory", ACCOUNT + "-2"]
)
def test_admission_leaves_everyone_else_alone(stack: list[Manifest], user: str) -> None:
    policy = named(stack, "ValidatingAdmissionPolicy", "stackproof-inventory-stack")
    assert refused(policy, user=user, extra={}, name="anything") == []


def test_an_expression_that_is_weaker_or_broken_turns_these_checks_red(stack: list[Manifest]) -> None:
    policy = named(stack, "ValidatingAdmissionPolicy", "stackproof-inventory-stack")

    def with_validation(expression: str) -> Manifest:
        return {**policy, "spec": {**policy["spec"], "validations": [{"expression": expression, "message": "no"}]}}

    prefix = f'object.metadata.name.startsWith("{config_map_name("stackproof", "")}" + request.userInfo.extra["{NODE}"][0])'
    assert refused(with_validation(prefix), user=ACCOUNT, extra={NODE: ["n1"]}, name=config_map_name("stackproof", "n11")) == []
    with pytest.raises(DecisionError):
        refused(with_validation("object.metadata.name == "), user=ACCOUNT, extra={NODE: ["n1"]}, name="any")
    with pytest.raises(DecisionError, match="not a truth value"):
        refused(with_validation("object.metadata.name"), user=ACCOUNT, extra={NODE: ["n1"]}, name="any")


def test_the_rendered_command_is_one_that_the_program_takes(stack: list[Manifest], tmp_path: Path) -> None:
    """Its variables filled in as the kubelet would, it looks for its token and, on SIGTERM, ends."""
    (container,) = containers(pod_specs(stack)["DaemonSet/stackproof-inventory"])
    fields = {each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"] for each in container["env"] if "valueFrom" in each}
    values = {"spec.nodeName": "n1", "metadata.namespace": "stack", "metadata.name": "pod", "metadata.uid": "uid"}
    arguments = [re.sub(r"\$\((\w+)\)", lambda found: values[fields[found[1]]], argument) for argument in container["args"]]
    line = [sys.executable, *container["command"][1:], *arguments]
    child = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stderr is not None
        assert child.stderr.readline().startswith("inventory not written: ")
        child.terminate()
        assert child.wait(timeout=30) == 0
    finally:
        child.kill()
        child.wait()


def test_the_programs_one_write_is_within_the_rendered_role(stack: list[Manifest], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token")
    cluster = FakeCluster(rules=rules_of([named(stack, "Role", "stackproof-inventory")]))
    with serving(cluster) as url:
        for _round in range(2):
            publish(Place("stackproof", "n1", "stack", "pod", "uid"), url, tmp_path)
    assert [line.split()[0] for line in cluster.requests] == ["PATCH", "PATCH"]
    assert list(cluster.config_maps) == [("stack", config_map_name("stackproof", "n1"))]


def readers(stack: list[Manifest]) -> list[Manifest]:
    return [each for each in stack if each["kind"] in ("ClusterRole", "Role") and "reader" in each["metadata"]["name"]]


def test_the_readers_rights_are_all_that_cluster_needs_and_none_is_spare(stack: list[Manifest], tmp_path: Path) -> None:
    rules = rules_of(readers(stack))
    labels = dict(term.split("=") for term in SELECTOR.split(","))
    maps = {("stack", "stackproof-inventory.n1"): {"metadata": {"name": "stackproof-inventory.n1", "labels": labels}}}
    cluster = FakeCluster(nodes=[gpu_node("n1")], slices=[resource_slice("gpu.nvidia.com", "n1", [dra_gpu("gpu-0")])], config_maps=maps, rules=rules)
    with serving(cluster) as url:
        api = connect(kubeconfig(url, tmp_path / "kubeconfig"), None)
        found = collect_cluster(api, namespace="stack")
        assert [probe.reason for probe in found.failures if "not allowed" in probe.reason] == []
        assert {line.split()[0] for line in cluster.requests} == {"GET"}
        for spare in rules[1:]:
            cluster.rules = [rule for rule in rules if rule is not spare]
            assert [probe.reason for probe in collect_cluster(api, namespace="stack").failures if "not allowed" in probe.reason], f"{spare} is not needed"


def test_the_rule_that_a_message_calls_missing_is_one_of_the_charts(stack: list[Manifest]) -> None:
    ruled = {
        (verb, resource, group, only, "namespace" if "namespace" in rule else "cluster")
        for rule in rules_of(readers(stack))
        for verb in rule["verbs"]
        for resource in rule["resources"]
        for group in rule["apiGroups"]
        for only in rule.get("resourceNames", [""])
    }
    assert ruled == {(right.verb, right.resource, right.group, right.only, right.scope) for right in RIGHTS.values()}


def test_the_documented_rights_are_those_of_the_chart(stack: list[Manifest]) -> None:
    block = (ROOT / "docs" / "kubernetes.md").read_text().split("```yaml\n# rights of `stackproof inventory --cluster`\n")[1].split("```")[0]
    documented = [each for each in yaml.load_all(block, yaml.CSafeLoader) if "rules" in each]
    assert {each["kind"]: each["rules"] for each in documented} == {each["kind"]: each["rules"] for each in readers(stack)}


def test_without_the_api_servers_address_it_is_refused(manifests: Renderer, generated: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(HelmError, match=r"inventory\.apiServer\.cidrs: name the API server's addresses"):
        manifests(generated["cpu"], SITE, written(tmp_path, apiServer={"cidrs": []}))


def test_where_a_pod_cannot_be_held_to_its_own_config_map_it_is_refused(manifests: Renderer, generated: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(HelmError, match=r"inventory\.enabled: set it to false: before Kubernetes 1\.30"):
        manifests(generated["cpu"], SITE, written(tmp_path), kube="1.28.0")
