import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.serving.envoy_process import envoy_binary
from stack.serving.gateway import Addresses, render_envoy
from stack.serving.policy import GatewayPolicy, load_policy

LOCAL = Addresses(listen="127.0.0.1:8000", engine="127.0.0.1:8001", policy_service="unix:/run/p.sock", admin="unix:/run/a.sock", access_log="/dev/stdout")
CLUSTER = Addresses(listen="0.0.0.0:8080", engine="engine:8000", policy_service="127.0.0.1:9000", admin="127.0.0.1:9901", access_log="/dev/stdout")


def manager(addresses: Addresses = LOCAL, policy: GatewayPolicy | None = None) -> dict[str, Any]:
    listener = render_envoy(policy or load_policy(), addresses)["static_resources"]["listeners"][0]
    found: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def routes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = manager()["route_config"]["virtual_hosts"][0]["routes"]
    return found


def walk(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield key, value
            yield from walk(value)
    elif isinstance(node, list):
        for each in node:
            yield from walk(each)


def test_only_exact_method_and_path_of_the_policy_reach_the_engine() -> None:
    reaching = [(route["match"]["headers"][0]["string_match"]["exact"], route["match"]["path"]) for route in routes() if "route" in route]
    assert reaching == [*((route.method, route.path) for route in load_policy().routes), ("GET", "/healthz")]
    assert all(set(route["match"]) == {"path", "headers"} for route in routes() if "route" in route)


def test_the_last_route_answers_404_and_only_what_is_refused_goes_unjudged() -> None:
    assert routes()[-1]["match"] == {"prefix": "/"}
    assert routes()[-1]["direct_response"]["status"] == 404
    unjudged = [route for route in routes() if "typed_per_filter_config" in route]
    assert unjudged == [route for route in routes() if "direct_response" in route]
    assert all(route["direct_response"]["status"] >= 400 and "route" not in route for route in unjudged)


def test_the_policy_service_stands_before_the_router_and_fails_closed() -> None:
    first, *_, last = manager()["http_filters"]
    assert (first["name"], last["name"]) == ("envoy.filters.http.ext_authz", "envoy.filters.http.router")
    authz = first["typed_config"]
    assert authz["failure_mode_allow"] is False
    assert authz["with_request_body"] == {"max_request_bytes": load_policy().limits.body_bytes, "allow_partial_message": False}


def test_the_tenant_and_the_engines_credential_replace_what_a_client_sent() -> None:
    answer = manager()["http_filters"][0]["typed_config"]["http_service"]["authorization_response"]
    assert {pattern["exact"] for pattern in answer["allowed_upstream_headers"]["patterns"]} == {"authorization", "x-stackproof-tenant"}
    dropped = manager()["early_header_mutation_extensions"][0]["typed_config"]["mutations"]
    assert {"remove_on_match": {"key_matcher": {"prefix": "x-stackproof-"}}} in dropped
    assert {"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}} in dropped


def test_nothing_is_retried_and_every_queue_is_bounded() -> None:
    config = render_envoy(load_policy(), LOCAL)
    assert "retry_policy" not in {key for key, _ in walk(config)}
    thresholds = [value[0] for key, value in walk(config) if key == "thresholds"]
    assert len(thresholds) == 2
    assert all(each["max_retries"] == 0 and each["max_pending_requests"] > 0 and each["max_requests"] > 0 for each in thresholds)
    monitor = config["overload_manager"]["resource_monitors"][0]["typed_config"]
    assert monitor["max_active_downstream_connections"] == load_policy().limits.connections


def test_the_configuration_holds_no_secret_and_the_log_no_body_and_no_credential() -> None:
    text = yaml.safe_dump(render_envoy(load_policy(), LOCAL)).lower()
    assert "bearer" not in text
    assert "inline_bytes" not in text
    fields = manager()["access_log"][0]["typed_config"]["log_format"]["json_format"]
    assert {"tenant", "path", "status", "request_id"} <= set(fields)
    assert not any("authorization" in value.lower() or "body" in value.lower() for value in fields.values())


def test_names_are_resolved_in_a_cluster_and_never_on_one_machine() -> None:
    def types(addresses: Addresses) -> list[str]:
        return [cluster["type"] for cluster in render_envoy(load_policy(), addresses)["static_resources"]["clusters"]]

    assert types(LOCAL) == ["STATIC", "STATIC"]
    assert types(CLUSTER) == ["STRICT_DNS", "STATIC"]


def test_a_changed_policy_changes_the_limits_that_are_enforced() -> None:
    policy = load_policy()
    stricter = policy.model_copy(update={"limits": policy.limits.model_copy(update={"body_bytes": 1000, "headers_kib": 8, "headers_count": 20})})
    found = manager(policy=stricter)
    assert found["max_request_headers_kb"] == 8
    assert found["common_http_protocol_options"]["max_headers_count"] == 20
    assert found["http_filters"][0]["typed_config"]["with_request_body"]["max_request_bytes"] == 1000


@pytest.mark.slow
@pytest.mark.parametrize("addresses", [LOCAL, CLUSTER])
def test_envoy_itself_accepts_the_configuration(tmp_path: Path, addresses: Addresses) -> None:
    config = tmp_path / "envoy.yaml"
    config.write_text(yaml.safe_dump(render_envoy(load_policy(), addresses)))
    done = subprocess.run([envoy_binary(), "--mode", "validate", "-c", config], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower()
