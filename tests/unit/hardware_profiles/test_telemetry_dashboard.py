"""The dashboard and the alerts ask only for what the exporter tells."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from stack.hardware_profiles.telemetry import amd, gaudi, nvml
from stack.hardware_profiles.telemetry.metrics import METRICS
from stack.hardware_profiles.telemetry.sources import all_sources

FILES = Path(__file__).parents[3] / "helm" / "stackproof" / "files"
OF_THE_SCRAPE = {"node", "instance", "job"}
"""Labels that Prometheus adds."""

OF_THE_PROCESS = {"process_cpu_seconds_total"}
VALUES = {
    "reason": {reason for maker in (nvml, amd, gaudi) for reason in maker.THROTTLE_REASONS.values()},
    "kind": {"corrected", "uncorrected"},
    "source": {source.name for source in all_sources()},
    "window": {"1m", "5m", "15m"},
}


def dashboard() -> Any:
    return json.loads((FILES / "exporter-dashboard.json").read_text())


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.load((FILES / "exporter-rules.yaml").read_text(), yaml.CSafeLoader)["groups"] for rule in group["rules"]]


def expressions() -> dict[str, str]:
    """By where they stand, with Grafana's and the chart's words put in."""
    found = {rule["alert"]: rule["expr"].replace("HOT_CELSIUS", "85") for rule in rules()}
    for panel in dashboard()["panels"]:
        found |= {f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "1m") for target in panel.get("targets", [])}
    return found


def selectors(expression: str) -> Iterator[Any]:
    visited: list[Any] = []
    promql_parser.walk(promql_parser.parse(expression), visited.append)
    return (each for each in visited if isinstance(each, promql_parser.VectorSelector))


@pytest.mark.parametrize("where", expressions())
def test_an_expression_parses_and_names_metrics_labels_and_values_that_exist(where: str) -> None:
    found = list(selectors(expressions()[where]))
    assert found
    for selector in found:
        assert selector.name in METRICS.keys() | OF_THE_PROCESS
        labels = {*METRICS[selector.name].labels, *OF_THE_SCRAPE} if selector.name in METRICS else OF_THE_SCRAPE
        for matcher in selector.matchers.matchers:
            assert matcher.name in labels
            if matcher.name in VALUES:
                assert set(matcher.value.split("|")) <= VALUES[matcher.name]


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {selector.name for expression in expressions().values() for selector in selectors(expression)}
    assert METRICS.keys() - shown == {"stackproof_host_swap_total_bytes", "stackproof_host_network_errors_total"}


def test_a_counter_is_shown_as_a_rate_and_a_gauge_is_not() -> None:
    for where, expression in expressions().items():
        visited: list[Any] = []
        promql_parser.walk(promql_parser.parse(expression), visited.append)
        for call in (each for each in visited if isinstance(each, promql_parser.Call) and each.func.name in {"rate", "increase"}):
            assert all(METRICS[each.name].kind == "counter" for each in selectors(call.prettify()) if each.name in METRICS), where


def test_names_follow_the_conventions_of_prometheus() -> None:
    for name, metric in METRICS.items():
        assert name.startswith("stackproof_")
        assert name.endswith("_total") == (metric.kind == "counter"), name
        assert not {"percent", "mhz", "mb", "ms", "mw"} & set(name.split("_")), name


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
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])
