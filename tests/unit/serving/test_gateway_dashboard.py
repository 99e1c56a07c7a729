"""The gateway's dashboard and alerts ask only for what gateway and engine tell."""

import json
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from stack.serving.metrics import GatewayMetrics
from stack.serving.policy import load_policy

FILES = Path(__file__).parents[3] / "helm" / "stackproof" / "files"
OURS = "stackproof_gateway_"
OF_THE_SCRAPE = {"node", "instance", "job", "pod", "le"}
"""Labels that Prometheus adds, and the one of every histogram."""
GAUGE = "envoy_cluster_membership_total"
"""In spite of its name."""
VALUES = {
    "decision": {"let through", "refused", "failed"},
    "outcome": {"read", "unreadable"},
    "envoy_http_conn_manager_prefix": {"gateway"},
    "envoy_cluster_name": {"engine.*", "collector"},
}


DAY = ("stackproof_gateway_day_used", "stackproof_gateway_day_budget")
"""Gauges whose labels are told with their values alone; `test_daily_budgets.py` reads both from a registry."""


def dashboard() -> Any:
    return json.loads((FILES / "gateway-dashboard.json").read_text())


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.load((FILES / "gateway-rules.yaml").read_text(), yaml.CSafeLoader)["groups"] for rule in group["rules"]]


def expressions() -> dict[str, str]:
    """By where they stand, with Grafana's and the chart's words put in."""
    found = {rule["alert"]: rule["expr"].replace("ERROR_SHARE", "0.05").replace("FIRST_BYTE_SECONDS", "10") for rule in rules()}
    for panel in dashboard()["panels"]:
        found |= {f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "1m") for target in panel.get("targets", [])}
    return found


def selectors(expression: str) -> Iterator[Any]:
    visited: list[Any] = []
    promql_parser.walk(promql_parser.parse(expression), visited.append)
    return (each for each in visited if isinstance(each, promql_parser.VectorSelector))


def of_the_policy_service() -> dict[str, set[str]]:
    """Labels by the name of each sample."""
    found: dict[str, set[str]] = {}
    metrics = GatewayMetrics(load_policy())
    for collector in dict.fromkeys(metrics.registry._collector_to_names):  # labels are not told before a value is
        name, labels = getattr(collector, "_name", ""), set(getattr(collector, "_labelnames", ()))
        kinds = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(getattr(collector, "_type", ""), ())
        found |= {f"{name}{suffix}": labels for suffix in kinds}
    return found | {name: {"tenant", "kind"} for name in DAY}


def of_the_engine() -> set[str]:
    """Names in the source of the installed engine, with what Prometheus makes of them."""
    spec = find_spec("vllm")
    if spec is None or spec.origin is None:
        pytest.skip(reason="the engine is not installed")
    named = set(re.findall(r'name="(vllm:[a-z_]+)"', (Path(spec.origin).parent / "v1/metrics/loggers.py").read_text()))
    return named | {f"{name}{suffix}" for name in named for suffix in ("_total", "_bucket")}


@pytest.mark.parametrize("where", expressions())
def test_an_expression_parses_and_names_metrics_labels_and_values_that_exist(where: str) -> None:
    found = list(selectors(expressions()[where]))
    assert found
    ours = of_the_policy_service()
    for selector in found:
        if selector.name.startswith(OURS):
            assert selector.name in ours
            assert {matcher.name for matcher in selector.matchers.matchers} <= ours[selector.name] | OF_THE_SCRAPE
        elif selector.name.startswith("vllm:"):
            assert selector.name in of_the_engine()
        else:
            assert selector.name.startswith("envoy_"), "Envoy's names are held against a real one in test_gateway_metrics"
        for matcher in selector.matchers.matchers:
            if matcher.name in VALUES:
                assert matcher.value in VALUES[matcher.name]


def test_every_metric_of_the_policy_service_is_on_the_dashboard() -> None:
    shown = {selector.name for expression in expressions().values() for selector in selectors(expression)}
    told = {name for name in of_the_policy_service() if name.endswith(("_total", "_bucket"))}
    assert told <= shown


def test_a_counter_is_never_shown_as_it_stands() -> None:
    for where, expression in expressions().items():
        visited: list[Any] = []
        promql_parser.walk(promql_parser.parse(expression), visited.append)
        rated = [
            each for call in visited if isinstance(call, promql_parser.Call) and call.func.name in {"rate", "increase"} for each in selectors(call.prettify())
        ]
        counters = [each for each in selectors(expression) if each.name.endswith(("_total", "_bucket")) and each.name != GAUGE]
        assert len(counters) <= len(rated), where


def test_every_alert_says_what_is_wrong_how_bad_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules())
    for rule in rules():
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert rule["annotations"].keys() == {"summary", "description"}


def test_panels_lie_on_the_grid_without_covering_each_other() -> None:
    cells = [
        (column, line)
        for place in (panel["gridPos"] for panel in dashboard()["panels"])
        for column in range(place["x"], place["x"] + place["w"])
        for line in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < 24
