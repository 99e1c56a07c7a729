"""The allow list as Envoy's routes (pure)."""

from typing import Any

from stack.serving.gateway.typed import TYPE, seconds
from stack.serving.policy import GatewayPolicy, Route

ENGINE_HEALTH_PATH = "/health"
HOST_PATTERN = r"[A-Za-z0-9.:\[\]_-]+"


def routes(policy: GatewayPolicy) -> list[dict[str, Any]]:
    """An odd Host is refused, then the allow list, the health path, and 404 for the rest. No route retries: a POST may have been served."""
    times = policy.timeouts
    allowed = [
        {
            "match": _match(route),
            "route": {"cluster": "engine", "timeout": seconds(times.response_s), "idle_timeout": seconds(times.idle_s)},
        }
        for route in policy.routes
    ]
    health = {
        "match": _match(Route(method="GET", path=policy.health_path)),
        "route": {"cluster": "engine", "prefix_rewrite": ENGINE_HEALTH_PATH, "timeout": seconds(times.connect_s)},
        "request_headers_to_remove": ["authorization"],
    }
    # Several Host headers reach us joined by a comma: refused, so that nobody can pick the one he likes.
    odd_host = {"name": ":authority", "string_match": {"safe_regex": {"regex": HOST_PATTERN}}, "invert_match": True}
    return [
        _refusal({"prefix": "/", "headers": [odd_host]}, 400, "one Host header is needed"),
        *allowed,
        health,
        _refusal({"prefix": "/"}, 404, "no such route"),
    ]


def _refusal(match: dict[str, Any], status: int, reason: str) -> dict[str, Any]:
    """A route that answers here and now, without asking the policy service."""
    return {
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": reason}},
        "typed_per_filter_config": {"envoy.filters.http.ext_authz": {"@type": f"{TYPE}.filters.http.ext_authz.v3.ExtAuthzPerRoute", "disabled": True}},
    }


def _match(route: Route) -> dict[str, Any]:
    return {"path": route.path, "headers": [{"name": ":method", "string_match": {"exact": route.method}}]}
