"""Metrics of a real Envoy and a real policy service, where the policy says they are served."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import promql_parser
import pytest
import yaml
from gateway_kit import EchoGateway, start_echo_gateway
from otlp_receiver import start_collector
from prometheus_client.parser import text_string_to_metric_families

from stack.runtime.net import free_port
from stack.serving.policy import Metrics, Tracing, load_policy

pytestmark = pytest.mark.slow

FILES = Path(__file__).parents[3] / "helm" / "stackproof" / "files"
NAME = re.compile(r"^(\w+){", re.MULTILINE)
"""As Envoy writes it: the parser of samples would add a `_total` to counters."""


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    return Metrics(gateway=f"127.0.0.1:{free_port()}", policy_service=f"127.0.0.1:{free_port()}")


@pytest.fixture(scope="module")
def gateway(metrics: Metrics, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EchoGateway]:
    with start_collector() as collector:
        policy = load_policy().model_copy(update={"metrics": metrics, "tracing": Tracing(endpoint=collector.endpoint)})
        with start_echo_gateway(tmp_path_factory.mktemp("scraped"), policy=policy) as started:
            yield started


def ask(gateway: EchoGateway, key: str | None = None, **fields: object) -> httpx.Response:
    body = {"model": "m1", "prompt": "Hello", "max_tokens": 4, **fields}
    return httpx.post(
        f"{gateway.url}/v1/completions", json=body, headers={"authorization": f"Bearer {key or gateway.key}"}, timeout=10, trust_env=False, verify=False
    )


def scrape(address: str | None, path: str = "/metrics", method: str = "GET") -> httpx.Response:
    return httpx.request(method, f"http://{address}{path}", timeout=10, trust_env=False, verify=False)


def samples(address: str | None) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(scrape(address).text)
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in families for sample in family.samples}


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics.policy_service).get((f"stackproof_gateway_{name}", tuple(sorted(labels.items()))), 0.0)


def test_requests_tokens_and_refusals_are_counted_once_they_ended(gateway: EchoGateway, metrics: Metrics) -> None:
    route = "POST /v1/completions"
    assert [ask(gateway).status_code, ask(gateway, seed=502).status_code, ask(gateway, key="sp-wrong").status_code] == [200, 502, 401]
    deadline = time.monotonic() + 5
    while value(metrics, "requests_total", tenant="clinic", route=route, status="502") < 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert value(metrics, "requests_total", tenant="clinic", route=route, status="200") == 1
    assert value(metrics, "request_seconds_count", tenant="clinic", route=route) == 2
    assert value(metrics, "tokens_total", tenant="clinic", kind="prompt") == 7
    assert value(metrics, "tokens_total", tenant="clinic", kind="completion") == 5
    assert value(metrics, "decisions_total", **{"class": "none", "route": route, "decision": "refused", "status": "401"}) == 1
    assert value(metrics, "decision_seconds_count", route=route) == 3


def test_the_gateways_listener_gives_metrics_and_no_other_part_of_the_admin_interface(gateway: EchoGateway, metrics: Metrics) -> None:
    ask(gateway)
    assert "envoy_http_downstream_rq_xx" in scrape(metrics.gateway).text
    for path in ("/", "/stats", "/clusters", "/quitquitquit", "/drain_listeners", "/metrics?filter=x", "/metrics/", "//metrics", "/metrics/../stats"):
        assert scrape(metrics.gateway, path).status_code == 404, path
    assert scrape(metrics.gateway, method="POST").status_code == 404
    assert httpx.get(f"{gateway.url}/metrics", trust_env=False, verify=False).status_code == 404, "never by the public listener"


def test_what_dashboard_and_alerts_ask_of_envoy_is_what_a_real_one_tells(gateway: EchoGateway, metrics: Metrics) -> None:
    ask(gateway)
    deadline = time.monotonic() + 15
    while (asked := wanted()) - (told := set(NAME.findall(scrape(metrics.gateway).text))):
        assert time.monotonic() < deadline, f"not told: {asked - told}"
        time.sleep(0.5)


def wanted() -> set[str]:
    rules = [rule for group in yaml.load((FILES / "gateway-rules.yaml").read_text(), yaml.CSafeLoader)["groups"] for rule in group["rules"]]
    found = [rule["expr"].replace("ERROR_SHARE", "1").replace("FIRST_BYTE_SECONDS", "1") for rule in rules]
    panels = json.loads((FILES / "gateway-dashboard.json").read_text())["panels"]
    found += [target["expr"].replace("$__rate_interval", "1m") for panel in panels for target in panel.get("targets", [])]
    visited: list[object] = []
    for expression in found:
        promql_parser.walk(promql_parser.parse(expression), visited.append)
    return {str(each.name) for each in visited if isinstance(each, promql_parser.VectorSelector) and str(each.name).startswith("envoy_")}
