"""Envoy's Prometheus metrics on a listener of their own, without its admin interface (pure)."""

from typing import Any

from stack.serving.gateway.addresses import Addresses
from stack.serving.gateway.typed import TYPE, address_of, discovery, seconds, typed

ADMIN = "admin"
METRICS_PATH = "/metrics"
ADMIN_PATH = "/stats/prometheus"
TIMEOUT_S = 5.0
MAX_SCRAPES = 4
"""At a time: a scrape of many clusters is work for Envoy's main thread."""


def scrape_listener(address: str) -> dict[str, Any]:
    """`GET /metrics` and nothing else: the other paths of the admin interface stay out of reach, and so do its queries."""
    # The pseudo-header has the query too, so that none is let through; the path's match does not look at it.
    exact = [{"name": ":method", "string_match": {"exact": "GET"}}, {"name": ":path", "string_match": {"exact": METRICS_PATH}}]
    routes = [
        {
            "match": {"path": METRICS_PATH, "headers": exact},
            "route": {"cluster": ADMIN, "prefix_rewrite": ADMIN_PATH, "timeout": seconds(TIMEOUT_S)},
        },
        {"match": {"prefix": "/"}, "direct_response": {"status": 404}},
    ]
    manager = {
        "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "metrics",
        "codec_type": "HTTP1",
        "max_request_headers_kb": 8,
        "request_headers_timeout": seconds(TIMEOUT_S),
        "stream_idle_timeout": seconds(TIMEOUT_S),
        "route_config": {"name": "metrics", "virtual_hosts": [{"name": "any", "domains": ["*"], "routes": routes}]},
        "http_filters": [typed("envoy.filters.http.router", {"@type": f"{TYPE}.filters.http.router.v3.Router"})],
    }
    return {
        "name": "metrics",
        "address": address_of(address),
        "filter_chains": [{"filters": [typed("envoy.filters.network.http_connection_manager", manager)]}],
    }


def admin_cluster(addresses: Addresses) -> dict[str, Any]:
    breakers = {"max_connections": MAX_SCRAPES, "max_requests": MAX_SCRAPES, "max_pending_requests": MAX_SCRAPES}
    return {
        "name": ADMIN,
        **discovery(addresses.admin),
        "connect_timeout": seconds(TIMEOUT_S),
        "circuit_breakers": {"thresholds": [breakers]},
        "load_assignment": {"cluster_name": ADMIN, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address_of(addresses.admin)}}]}]},
    }
