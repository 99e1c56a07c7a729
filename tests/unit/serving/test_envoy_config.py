import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from stack.serving.envoy_process import envoy_binary
from stack.serving.gateway import Addresses, Pool, Served, endpoints_document, render_envoy
from stack.serving.policy import GatewayPolicy, Routing, load_policy

ONE = Pool(engines=("127.0.0.1:8001",))
LOCAL = Addresses(listen="127.0.0.1:8000", pools=(ONE,), policy_service="unix:/run/p.sock", admin="unix:/run/a.sock", access_log="/dev/stdout")
NAMED = Pool(engines=("engine:8000",))
CLUSTER = Addresses(listen="0.0.0.0:8080", pools=(NAMED,), policy_service="127.0.0.1:9000", admin="127.0.0.1:9901", access_log="/dev/stdout")

STABLE = Pool(name="stable", engines=("127.0.0.1:8001", "127.0.0.1:8002"), endpoints="/run/endpoints-stable.yaml")
TRIED, OTHER = Pool(name="tried", engines=("127.0.0.1:8003",)), Pool(name="other", engines=("127.0.0.1:8004",))
SEVERAL = LOCAL.model_copy(
    update={
        "pools": (STABLE, TRIED, OTHER),
        "models": (Served(model="text", pool="stable", canary="tried", canary_percent=12.5), Served(model="vectors", pool="other")),
    }
)


def manager(addresses: Addresses = LOCAL, policy: GatewayPolicy | None = None) -> dict[str, Any]:
    listener = render_envoy(policy or load_policy(), addresses)["static_resources"]["listeners"][0]
    found: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def routes(addresses: Addresses = LOCAL, policy: GatewayPolicy | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = manager(addresses, policy)["route_config"]["virtual_hosts"][0]["routes"]
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


def test_only_what_no_engine_has_seen_is_tried_at_another_and_every_queue_is_bounded() -> None:
    config = render_envoy(load_policy(), LOCAL)
    reasons = {value["retry_on"] for key, value in walk(config) if key == "retry_policy"}
    assert reasons == {"connect-failure,refused-stream,reset-before-request"}
    engine, policy = [value[0] for key, value in walk(config) if key == "thresholds"]
    assert all(each["max_pending_requests"] > 0 and each["max_requests"] > 0 for each in (engine, policy))
    assert policy["max_retries"] == 0
    monitor = config["overload_manager"]["resource_monitors"][0]["typed_config"]
    assert monitor["max_active_downstream_connections"] == load_policy().limits.connections


def test_a_request_is_matched_by_its_model_only_after_it_was_judged() -> None:
    assert manager(SEVERAL)["http_filters"][0]["typed_config"]["clear_route_cache"] is True
    assert "clear_route_cache" not in manager(LOCAL)["http_filters"][0]["typed_config"]
    chat = [route for route in routes(SEVERAL) if route["match"].get("path") == "/v1/chat/completions"]
    reaching, last = chat[:-1], chat[-1]
    assert all("x-stackproof-model" in [header["name"] for header in route["match"]["headers"]] for route in reaching)
    assert last["direct_response"]["status"] == 503
    assert "typed_per_filter_config" not in last


def test_a_share_goes_to_the_canary_unless_a_header_chooses() -> None:
    chat = [route for route in routes(SEVERAL) if route["match"].get("path") == "/v1/chat/completions"]
    always, never, by_weight, other, _ = chat
    assert [always["route"]["cluster"], never["route"]["cluster"], other["route"]["cluster"]] == ["tried", "stable", "other"]
    assert by_weight["route"]["weighted_clusters"]["clusters"] == [{"name": "stable", "weight": 8750}, {"name": "tried", "weight": 1250}]


def test_the_list_of_several_models_comes_from_the_policy_service() -> None:
    (listed,) = [route for route in routes(SEVERAL) if route["match"].get("path") == "/v1/models"]
    assert listed["route"]["cluster"] == "policy"
    (listed,) = [route for route in routes(LOCAL) if route["match"].get("path") == "/v1/models"]
    assert listed["route"]["cluster"] == "engine"


def test_prompts_that_begin_alike_go_to_one_engine_up_to_its_share() -> None:
    by_prefix = load_policy().model_copy(update={"routing": Routing(by="prefix", prefix_load_percent=125)})
    cluster = render_envoy(by_prefix, SEVERAL)["static_resources"]["clusters"][0]
    assert cluster["lb_policy"] == "RING_HASH"
    assert cluster["common_lb_config"]["consistent_hashing_lb_config"] == {"hash_balance_factor": 125}
    hashed = [route["route"] for route in routes(SEVERAL, by_prefix) if "hash_policy" in route.get("route", {})]
    assert all(route["hash_policy"] == [{"header": {"header_name": "x-stackproof-prefix"}}] for route in hashed)
    assert hashed
    (chosen,) = render_envoy(load_policy(), SEVERAL)["static_resources"]["clusters"][0]["load_balancing_policy"]["policies"]
    assert chosen["typed_extension_config"]["name"] == "envoy.load_balancing_policies.least_request"


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
@pytest.mark.parametrize("by", ["least-request", "prefix"])
@pytest.mark.parametrize("addresses", [LOCAL, CLUSTER, SEVERAL], ids=["one engine", "in a cluster", "several models"])
def test_envoy_itself_accepts_the_configuration(tmp_path: Path, addresses: Addresses, by: Literal["least-request", "prefix"]) -> None:
    config = tmp_path / "envoy.yaml"
    policy = load_policy().model_copy(update={"routing": Routing(by=by)})
    found = render_envoy(policy, addresses)
    for cluster in found["static_resources"]["clusters"]:
        if "eds_cluster_config" in cluster:  # Envoy watches the folder from the start
            endpoints = tmp_path / Path(cluster["eds_cluster_config"]["eds_config"]["path_config_source"]["path"]).name
            cluster["eds_cluster_config"]["eds_config"]["path_config_source"]["path"] = str(endpoints)
            endpoints.write_text(yaml.safe_dump(endpoints_document(cluster["name"], STABLE.engines, frozenset(STABLE.engines[:1]))))
    config.write_text(yaml.safe_dump(found))
    done = subprocess.run([envoy_binary(), "--mode", "validate", "-c", config], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower()
