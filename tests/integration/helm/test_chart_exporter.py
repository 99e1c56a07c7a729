"""The exporter on every node: off by default, confined, scraped by those who are named, its alerts and dashboard on request."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube_schemas import schema_faults
from machines import CHART, SITE, Manifest, Renderer
from operator_schemas import operator_faults
from pod_rules import PROBES, pod_specs, project_faults, restricted_faults
from reachability import Party, reaches
from typer.main import get_command

from stack.cli.main import app
from stack.serving.helm_binary import HelmError

pytestmark = pytest.mark.slow

EXPORTER = CHART / "ci" / "exporter.yaml"
OPERATOR_KINDS = {"PodMonitor", "PrometheusRule"}


@pytest.fixture
def added(manifests: Renderer, generated: dict[str, Path], kube: str) -> list[Manifest]:
    """What the exporter adds to the chart."""
    without = {(each["kind"], each["metadata"]["name"]) for each in manifests(generated["cuda"], SITE, kube=kube)}
    return [each for each in manifests(generated["cuda"], SITE, EXPORTER, kube=kube) if (each["kind"], each["metadata"]["name"]) not in without]


def one(stack: list[Manifest], kind: str) -> Manifest:
    (found,) = [each for each in stack if each["kind"] == kind]
    return found


def test_nothing_of_it_is_made_by_default_and_everything_on_request(added: list[Manifest], manifests: Renderer, generated: dict[str, Path]) -> None:
    assert not [each for each in manifests(generated["cuda"], SITE) if "exporter" in each["metadata"]["name"] or "dashboard" in each["metadata"]["name"]]
    assert {each["kind"] for each in added} == {"DaemonSet", "Service", "ServiceAccount", "NetworkPolicy", "ConfigMap", *OPERATOR_KINDS}
    assert len(added) == 7


def test_every_object_of_kubernetes_own_kinds_is_valid(added: list[Manifest], kube: str) -> None:
    assert [fault for each in added if each["kind"] not in OPERATOR_KINDS for fault in schema_faults(each, kube)] == []


def test_every_object_of_the_operators_kinds_is_valid(added: list[Manifest]) -> None:
    ours = [each for each in added if each["kind"] in OPERATOR_KINDS]
    assert {each["kind"] for each in ours} == OPERATOR_KINDS
    assert [fault for each in ours for fault in operator_faults(each)] == []


@pytest.mark.parametrize(
    ("kind", "path", "value", "words"),
    [
        ("PodMonitor", ("spec", "podMetricsEndpoints", 0, "targetPort"), 9400, "$.spec.podMetricsEndpoints[0]: Additional properties"),
        ("PodMonitor", ("spec", "podMetricsEndpoints", 0, "interval"), "15 seconds", "$.spec.podMetricsEndpoints[0].interval: '15 seconds' does not match"),
        ("PodMonitor", ("spec", "podMetricsEndpoints", 0, "relabelings", 0, "sourceLabels"), "node", "sourceLabels: 'node' is not of type 'array'"),
        ("PodMonitor", ("spec", "selector", "matchLabels"), {}, "$.spec.selector.matchLabels: {} should be non-empty"),
        ("PodMonitor", ("metadata", "labels", "release"), 1, "$.metadata.labels.release: 1 is not of type 'string'"),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0, "for"), 5, "$.spec.groups[0].rules[0].for: 5 is not of type 'string'"),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0, "severity"), "warning", "Additional properties are not allowed ('severity' was unexpected)"),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0, "labels", "severity"), None, "severity: None is not of type 'string'"),
        ("PrometheusRule", ("spec", "groups", 0, "rules"), [], "$.spec.groups[0].rules: [] should be non-empty"),
        ("PrometheusRule", ("spec", "groups", 0, "name"), "stackproof-errors", "$.spec.groups: the name stackproof-errors stands twice"),
        ("PrometheusRule", ("apiVersion",), "monitoring.coreos.com/v2", "no schema of monitoring.coreos.com/v2 PrometheusRule"),
    ],
)
def test_a_fault_in_an_object_of_the_operators_turns_the_check_red(
    added: list[Manifest], kind: str, path: tuple[str | int, ...], value: object, words: str
) -> None:
    changed: Any = copy.deepcopy(one(added, kind))
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert [fault for fault in operator_faults(changed) if words in fault] != []


def test_its_pod_is_restricted_reads_nothing_of_the_node_and_reserves_no_gpu(added: list[Manifest]) -> None:
    (pod,) = pod_specs(added).values()
    assert [*restricted_faults(pod), *project_faults(pod, serves=False)] == []
    (container,) = pod["containers"]
    assert [probe for probe in PROBES if probe not in container] == []
    assert set(container["resources"]["limits"]) == {"cpu", "memory", "ephemeral-storage"}
    assert pod["runtimeClassName"] == "nvidia"
    assert one(added, "ServiceAccount")["metadata"]["name"] == pod["serviceAccountName"]


def test_the_command_takes_its_rendered_arguments(added: list[Manifest]) -> None:
    (container,) = one(added, "DaemonSet")["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["stackproof", "exporter"]
    parsed = get_command(app).commands["exporter"].make_context("exporter", list(container["args"])).params
    assert parsed == {"listen": "0.0.0.0", "port": 9400, "every": "1s"}
    assert container["ports"] == [{"name": "metrics", "containerPort": 9400, "protocol": "TCP"}]


def test_those_who_scrape_find_its_pods_by_selector_and_port_name(added: list[Manifest]) -> None:
    pod = one(added, "DaemonSet")["spec"]["template"]
    service, monitor = one(added, "Service"), one(added, "PodMonitor")["spec"]
    for selector in (service["spec"]["selector"], monitor["selector"]["matchLabels"], one(added, "DaemonSet")["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= pod["metadata"]["labels"].items()
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert endpoint["port"] == service["spec"]["ports"][0]["targetPort"] == pod["spec"]["containers"][0]["ports"][0]["name"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["metadata"]["annotations"] == {"prometheus.io/scrape": "true", "prometheus.io/port": "9400", "prometheus.io/path": "/metrics"}
    assert one(added, "PodMonitor")["metadata"]["labels"]["release"] == one(added, "PrometheusRule")["metadata"]["labels"]["release"] == "monitoring"


def test_only_named_scrapers_reach_it_and_it_reaches_nobody(added: list[Manifest], manifests: Renderer, generated: dict[str, Path], tmp_path: Path) -> None:
    exporter = Party(one(added, "DaemonSet")["spec"]["template"]["metadata"]["labels"])
    prometheus = Party({"app.kubernetes.io/name": "prometheus"}, namespace="monitoring")
    neighbours = [Party({"app.kubernetes.io/name": "prometheus"}), Party({}, namespace="monitoring"), Party(address="10.0.0.1")]

    def policies(*values: Path) -> list[Manifest]:
        return [each for each in manifests(generated["cuda"], SITE, EXPORTER, *values) if each["kind"] == "NetworkPolicy"]

    assert reaches(policies(), prometheus, exporter, 9400)
    assert not reaches(policies(), prometheus, exporter, 9401)
    assert not any(reaches(policies(), each, exporter, 9400) for each in neighbours)
    assert not any(reaches(policies(), exporter, each, port) for each in (*neighbours, prometheus) for port in (53, 443, 9090))
    closed = write(tmp_path, {"exporter": {"scrapers": []}})
    assert not reaches(policies(closed), prometheus, exporter, 9400)


def test_the_dashboard_is_the_file_under_the_sidecars_label(added: list[Manifest]) -> None:
    dashboard = one(added, "ConfigMap")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["stackproof-hardware.json"]) == json.loads((CHART / "files" / "exporter-dashboard.json").read_text())


def test_the_rules_are_the_files_with_the_temperature_put_in(added: list[Manifest]) -> None:
    text = (CHART / "files" / "exporter-rules.yaml").read_text().replace("HOT_CELSIUS", "85")
    assert one(added, "PrometheusRule")["spec"]["groups"] == yaml.load(text, yaml.CSafeLoader)["groups"]


@pytest.mark.parametrize("group", ["exporterDown", "errors", "thermal", "throttling", "powerCap"])
def test_each_group_of_alerts_can_be_left_out(manifests: Renderer, generated: dict[str, Path], tmp_path: Path, group: str) -> None:
    values = write(tmp_path, {"exporter": {"rules": {group: False, "hotCelsius": 92}}})
    groups = {each["name"]: each for each in one(manifests(generated["cuda"], SITE, EXPORTER, values), "PrometheusRule")["spec"]["groups"]}
    assert len(groups) == 4
    assert f"stackproof-{group}" not in groups
    if group != "thermal":
        assert groups["stackproof-thermal"]["rules"][0]["expr"] == "stackproof_gpu_temperature_celsius > 92"


@pytest.mark.parametrize(("part", "kind"), [("podMonitor", "PodMonitor"), ("rules", "PrometheusRule"), ("dashboard", "ConfigMap")])
def test_monitor_rules_and_dashboard_are_each_behind_a_value(
    manifests: Renderer, generated: dict[str, Path], tmp_path: Path, added: list[Manifest], part: str, kind: str
) -> None:
    values = write(tmp_path, {"exporter": {part: {"enabled": False}}})
    left_out = one(added, kind)["metadata"]["name"]
    rendered = {(each["kind"], each["metadata"]["name"]) for each in manifests(generated["cuda"], SITE, EXPORTER, values)}
    assert {(each["kind"], each["metadata"]["name"]) for each in added} - rendered == {(kind, left_out)}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"enabled": False}, "exporter.enabled: set it to true, or exporter.rules.enabled=false"),
        ({"every": "often"}, "/exporter/every"),
        ({"port": 80}, "/exporter/port"),
        ({"rules": {"hotCelsius": 400}}, "/exporter/rules/hotCelsius"),
        ({"scrapers": [{}]}, "/exporter/scrapers/0"),
        ({"privileged": True}, "privileged"),
    ],
)
def test_a_wrong_value_is_refused_by_name(manifests: Renderer, generated: dict[str, Path], tmp_path: Path, values: dict[str, Any], words: str) -> None:
    with pytest.raises(HelmError) as refused:
        manifests(generated["cuda"], SITE, EXPORTER, write(tmp_path, {"exporter": values}))
    assert words in str(refused.value)


def write(folder: Path, values: dict[str, Any]) -> Path:
    path = folder / "more.yaml"
    path.write_text(yaml.dump(values, Dumper=yaml.CSafeDumper))
    return path
