"""Whom Envoy connects to, how it chooses among several, and how many requests at a time (pure)."""

from typing import Any

from stack.serving.gateway.addresses import Pool
from stack.serving.gateway.typed import BUFFER_BYTES, TYPE, address_of, discovery, seconds, typed
from stack.serving.policy import GatewayPolicy, Routing

UPSTREAM_IDLE_S = 60.0
"""Of kept connections to engine and policy service; shorter than their own 75 s, so that none closes under a request."""
ENGINE_HEALTH_PATH = "/health"
LEAST_HEALTHY_PERCENT = 1
"""With no healthy engine at all each is tried: a check that a busy engine answered late shall not close the service."""
RING_SIZE = 1024
ANSWER_HEADERS_KIB = 320
"""Of the policy service, where it redacts: `redaction.edits.MOST_EDITS_BYTES` and the others."""


def policy_cluster(address: str, policy: GatewayPolicy) -> dict[str, Any]:
    # Edits of a body come as one header.
    most_kib = {"max_response_headers_kb": ANSWER_HEADERS_KIB} if policy.redacts else {}
    return {
        **_cluster("policy", policy, requests=policy.limits.connections, pending=policy.limits.connections, retries=0, http=most_kib),
        **discovery(address),
        "load_assignment": load_assignment("policy", (address,)),
    }


def pool_cluster(pool: Pool, policy: GatewayPolicy) -> dict[str, Any]:
    """Engines are asked for their health, taken out when they fail, and found in a file where that changes."""
    if pool.endpoints is not None:
        config = {"path_config_source": {"path": pool.endpoints}, "resource_api_version": "V3"}
        found = {"type": "EDS", "eds_cluster_config": {"eds_config": config}}
    else:
        found = {**discovery(*pool.engines), "load_assignment": load_assignment(pool.name, pool.engines)}
    return {
        **_cluster(pool.name, policy, requests=policy.limits.requests, pending=policy.limits.pending, retries=policy.limits.requests),
        **found,
        **_balancing(policy.routing),
        "health_checks": [_health_check(policy.routing)],
        "outlier_detection": _outliers(policy.routing),
    }


def load_assignment(name: str, addresses: tuple[str, ...], *, draining: frozenset[str] = frozenset()) -> dict[str, Any]:
    """`draining` addresses finish what they have and get nothing new."""
    endpoints = [{"endpoint": {"address": address_of(address)}, **({"health_status": "DRAINING"} if address in draining else {})} for address in addresses]
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}


def endpoints_document(name: str, addresses: tuple[str, ...], draining: frozenset[str]) -> dict[str, Any]:
    """The file that a pool's `endpoints` names."""
    return {
        "resources": [{"@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", **load_assignment(name, addresses, draining=draining)}]
    }


def _cluster(name: str, policy: GatewayPolicy, *, requests: int, pending: int, retries: int, http: dict[str, Any] | None = None) -> dict[str, Any]:
    breakers = {"max_connections": requests, "max_requests": requests, "max_pending_requests": pending, "max_retries": retries}
    return {
        "name": name,
        "connect_timeout": seconds(policy.timeouts.connect_s),
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "circuit_breakers": {"thresholds": [breakers]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{TYPE}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
                "common_http_protocol_options": {"idle_timeout": seconds(UPSTREAM_IDLE_S), **(http or {})},
            }
        },
    }


def _balancing(routing: Routing) -> dict[str, Any]:
    """Least-request looks at every engine: they are few, and one request weighs much."""
    common: dict[str, Any] = {"healthy_panic_threshold": {"value": LEAST_HEALTHY_PERCENT}}
    if routing.by == "prefix":
        bounded = {"hash_balance_factor": routing.prefix_load_percent}
        return {
            "lb_policy": "RING_HASH",
            "ring_hash_lb_config": {"minimum_ring_size": RING_SIZE},
            "common_lb_config": {**common, "consistent_hashing_lb_config": bounded},
        }
    scan = {"@type": f"{TYPE}.load_balancing_policies.least_request.v3.LeastRequest", "selection_method": "FULL_SCAN"}
    chosen = {"typed_extension_config": typed("envoy.load_balancing_policies.least_request", scan)}
    return {"load_balancing_policy": {"policies": [chosen]}, "common_lb_config": common}


def _health_check(routing: Routing) -> dict[str, Any]:
    return {
        "timeout": seconds(routing.check_timeout_s),
        "interval": seconds(routing.check_interval_s),
        "no_traffic_interval": seconds(routing.check_interval_s),
        "unhealthy_threshold": routing.checks_failed,
        "healthy_threshold": 1,
        "http_health_check": {"path": ENGINE_HEALTH_PATH},
    }


def _outliers(routing: Routing) -> dict[str, Any]:
    """By what is the engine's fault for certain: no connection, a connection that broke, 502 to 504. A 500 may be the request's."""
    return {
        "consecutive_gateway_failure": routing.failures,
        "enforcing_consecutive_gateway_failure": 100,
        "consecutive_5xx": 0,
        "enforcing_consecutive_5xx": 0,
        "enforcing_success_rate": 0,
        "interval": "1s",
        "base_ejection_time": seconds(routing.ejected_s),
        "max_ejection_percent": 100,
    }
