"""Metrics of gateway, policy service and engines: nothing by default, reached by those who are named, with dashboard and alerts on request."""

import json
from pathlib import Path

import pytest
import yaml
from kube_schemas import schema_faults
from machines import CHART, SITE, Manifest, Renderer, plan_for
from reachability import Party, reaches

from stack.serving.errors import ServingError
from stack.serving.helm_binary import HelmError
from stack.serving.helm_values import chart_values, values_yaml
from stack.serving.policy import Metrics, load_policy

pytestmark = pytest.mark.slow

MONITORING = CHART / "ci" / "monitoring.yaml"
OPERATOR_KINDS = {"PodMonitor", "PrometheusRule"}
SCRAPED = load_policy().model_copy(update={"metrics": Metrics(gateway="0.0.0.0:9902", policy_service="0.0.0.0:9903")})


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("values") / "scraped.yaml"
    path.write_text(values_yaml(chart_values(plan_for("cpu"), SCRAPED)))
    return path


@pytest.fixture
def added(manifests: Renderer, values: Path, kube: str) -> list[Manifest]:
    without = {(each["kind"], each["metadata"]["name"]) for each in manifests(values, SITE, kube=kube)}
    return [each for each in manifests(values, SITE, MONITORING, kube=kube) if (each["kind"], each["metadata"]["name"]) not in without]


def of(stack: list[Manifest], kind: str) -> list[Manifest]:
    return [each for each in stack if each["kind"] == kind]


def pod(stack: list[Manifest], component: str) -> Manifest:
    (found,) = [each for each in of(stack, "Deployment") if each["metadata"]["name"] == f"stackproof-{component}"]
    return dict(found["spec"]["template"])


def test_nothing_is_made_or_opened_by_default_and_everything_on_request(added: list[Manifest], manifests: Renderer, generated: dict[str, Path]) -> None:
    plain = manifests(generated["cpu"], SITE)
    assert not [each for each in plain if each["kind"] in OPERATOR_KINDS or "metrics" in each["metadata"]["name"]]
    assert "metrics" not in {port["name"] for part in ("gateway", "authz") for port in pod(plain, part)["spec"]["containers"][0]["ports"]}
    assert sorted(each["kind"] for each in added) == ["ConfigMap", *["NetworkPolicy"] * 3, *["PodMonitor"] * 3, "PrometheusRule"]


def test_every_object_of_kubernetes_own_kinds_is_valid(added: list[Manifest], kube: str) -> None:
    assert [fault for each in added if each["kind"] not in OPERATOR_KINDS for fault in schema_faults(each, kube)] == []


def test_a_monitor_finds_its_pods_by_selector_and_port_name(added: list[Manifest], manifests: Renderer, values: Path) -> None:
    stack = manifests(values, SITE, MONITORING)
    for monitor in of(added, "PodMonitor"):
        template = pod(stack, monitor["metadata"]["name"].removeprefix("stackproof-"))
        assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["port"] in {port["name"] for port in template["spec"]["containers"][0]["ports"]}
        assert monitor["metadata"]["labels"]["release"] == "monitoring"


def test_only_named_scrapers_reach_the_metrics_and_nothing_else_of_gateway_and_policy_service(manifests: Renderer, values: Path) -> None:
    stack = manifests(values, SITE, MONITORING)
    policies = of(stack, "NetworkPolicy")
    prometheus, stranger = Party({"app.kubernetes.io/name": "prometheus"}, namespace="monitoring"), Party({}, namespace="monitoring")
    for component, port in (("gateway", 9902), ("authz", 9903), ("engine", 8000)):
        target = Party(pod(stack, component)["metadata"]["labels"])
        assert reaches(policies, prometheus, target, port), component
        assert not reaches(policies, stranger, target, port), component
        assert not any(reaches(policies, prometheus, target, other) for other in {8080, 9000, 9901} - {port}), component


def test_the_configuration_of_the_chart_listens_where_the_pod_says(manifests: Renderer, values: Path) -> None:
    (config,) = [each for each in of(manifests(values, SITE), "ConfigMap") if each["metadata"]["name"] == "stackproof-gateway"]
    listeners = yaml.load(config["data"]["envoy.yaml"], yaml.CSafeLoader)["static_resources"]["listeners"]
    assert {each["name"]: each["address"]["socket_address"]["port_value"] for each in listeners} == {"gateway": 8080, "metrics": 9902}


def test_dashboard_and_alerts_are_the_files_with_the_limits_put_in(added: list[Manifest]) -> None:
    (dashboard,), (rule,) = of(added, "ConfigMap"), of(added, "PrometheusRule")
    assert json.loads(dashboard["data"]["stackproof-gateway.json"]) == json.loads((CHART / "files" / "gateway-dashboard.json").read_text())
    text = (CHART / "files" / "gateway-rules.yaml").read_text().replace("ERROR_SHARE", "0.05").replace("FIRST_BYTE_SECONDS", "10")
    assert rule["spec"]["groups"] == yaml.load(text, yaml.CSafeLoader)["groups"]


def test_monitors_without_anything_to_scrape_are_refused(manifests: Renderer, generated: dict[str, Path], tmp_path: Path) -> None:
    more = tmp_path / "more.yaml"
    more.write_text("monitoring: {engines: false}\n")
    with pytest.raises(HelmError, match="a policy that has `metrics`"):
        manifests(generated["cpu"], SITE, MONITORING, more)


@pytest.mark.parametrize("address", ["127.0.0.1:9902", "0.0.0.0:80"])
def test_an_address_that_no_scraper_of_a_pod_reaches_is_refused(address: str) -> None:
    policy = load_policy().model_copy(update={"metrics": Metrics(gateway=address)})
    with pytest.raises(ServingError, match=r"`metrics\.gateway`"):
        chart_values(plan_for("cpu"), policy)


@pytest.mark.parametrize("port", [8080, 8081, 9000])
def test_a_port_that_something_else_of_the_chart_has_is_refused(port: int) -> None:
    policy = load_policy().model_copy(update={"metrics": Metrics(policy_service=f"0.0.0.0:{port}")})
    with pytest.raises(ServingError, match=r"`metrics\.policy_service`: .* the port is taken"):
        chart_values(plan_for("cpu"), policy)
