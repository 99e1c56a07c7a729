"""Whom Envoy connects to, and how many requests at a time (pure)."""

from typing import Any

from stack.serving.gateway.typed import BUFFER_BYTES, TYPE, address_of, is_fixed, seconds
from stack.serving.policy import GatewayPolicy

UPSTREAM_IDLE_S = 60.0
"""Of kept connections to engine and policy service; shorter than their own 75 s, so that none closes under a request."""


def cluster(name: str, address: str, policy: GatewayPolicy, *, requests: int, pending: int) -> dict[str, Any]:
    return {
        "name": name,
        "type": "STATIC" if is_fixed(address) else "STRICT_DNS",
        "connect_timeout": seconds(policy.timeouts.connect_s),
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "circuit_breakers": {"thresholds": [{"max_connections": requests, "max_requests": requests, "max_pending_requests": pending, "max_retries": 0}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{TYPE}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
                "common_http_protocol_options": {"idle_timeout": seconds(UPSTREAM_IDLE_S)},
            }
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address_of(address)}}]}],
        },
    }
