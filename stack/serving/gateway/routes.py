"""The allow list as Envoy's routes, and which pool answers for which model (pure)."""

from collections.abc import Iterator
from typing import Any

from stack.serving.gateway.addresses import Addresses, Served
from stack.serving.gateway.clusters import ENGINE_HEALTH_PATH
from stack.serving.gateway.filters import MODEL_HEADER, PREFIX_HEADER
from stack.serving.gateway.typed import TYPE, seconds
from stack.serving.policy import MODELS_PATH, GatewayPolicy, Route

HOST_PATTERN = r"[A-Za-z0-9.:\[\]_-]+"
LIST_PATH = "/.models"
"""At the policy service. A route's path has no dot, so no request of a client is ever asked about under this one."""
CANARY_HEADER = "x-canary"
"""A client may ask for the canary (`always`) or for none (`never`)."""
RETRIES = 2
NEVER_SERVED = "connect-failure,refused-stream,reset-before-request"
"""Reasons to try another engine: the request has not reached the first. Whatever has may have been served, and is not repeated."""


def routes(policy: GatewayPolicy, addresses: Addresses) -> list[dict[str, Any]]:
    """An odd Host is refused, then the allow list, the health path, and 404 for the rest.

    Where several models are served, a request first matches without a model, is judged, and is matched again by the model that
    the policy service names.
    """
    # Several Host headers reach us joined by a comma: refused, so that nobody can pick the one he likes.
    odd_host = {"name": ":authority", "string_match": {"safe_regex": {"regex": HOST_PATTERN}}, "invert_match": True}
    return [
        _refusal({"prefix": "/", "headers": [odd_host]}, 400, "one Host header is needed"),
        *(route for allowed in policy.routes for route in _allowed(allowed, policy, addresses)),
        _health(policy, addresses),
        _refusal({"prefix": "/"}, 404, "no such route"),
    ]


def _allowed(route: Route, policy: GatewayPolicy, addresses: Addresses) -> Iterator[dict[str, Any]]:
    if not addresses.models:
        yield {"match": _match(route), "route": _action({"cluster": addresses.pools[0].name}, policy)}
        return
    if route.body is None:
        yield _listed(route, policy)
        return
    for served in addresses.models:
        yield from _by_model(route, served, policy)
    # Matched before it is judged, and after that only if the judge named no model.
    yield {"match": _match(route), "direct_response": {"status": 503, "body": {"inline_string": "no engine serves this model"}}}


def _listed(route: Route, policy: GatewayPolicy) -> dict[str, Any]:
    """No engine knows of the others' models: the policy service lists them."""
    if route.path != MODELS_PATH:
        return {"match": _match(route), "direct_response": {"status": 404, "body": {"inline_string": "no such route where several models are served"}}}
    return {"match": _match(route), "route": {"cluster": "policy", "prefix_rewrite": LIST_PATH, "timeout": seconds(policy.timeouts.authorization_s)}}


def _by_model(route: Route, served: Served, policy: GatewayPolicy) -> Iterator[dict[str, Any]]:
    match = _with(_match(route), MODEL_HEADER, served.model)
    if served.canary is None:
        yield {"match": match, "route": _action({"cluster": served.pool}, policy)}
        return
    for wish, pool in (("always", served.canary), ("never", served.pool)):
        yield {"match": _with(match, CANARY_HEADER, wish), "route": _action({"cluster": pool}, policy)}
    canary = round(served.canary_percent * 100)
    weights = [{"name": served.pool, "weight": 10_000 - canary}, {"name": served.canary, "weight": canary}]
    yield {"match": match, "route": _action({"weighted_clusters": {"clusters": weights}}, policy)}


def _action(to: dict[str, Any], policy: GatewayPolicy) -> dict[str, Any]:
    times = policy.timeouts
    action = {**to, "timeout": seconds(times.response_s), "idle_timeout": seconds(times.idle_s)}
    if policy.routing.by == "prefix":
        action["hash_policy"] = [{"header": {"header_name": PREFIX_HEADER}}]
    predicate = {"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {"@type": f"{TYPE}.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}
    action["retry_policy"] = {
        "retry_on": NEVER_SERVED,
        "num_retries": RETRIES,
        "retry_host_predicate": [predicate],
        "host_selection_retry_max_attempts": 5,
        "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
    }
    return action


def _health(policy: GatewayPolicy, addresses: Addresses) -> dict[str, Any]:
    """Of the engine; where several models are served a filter answers before the engine is asked (`filters.health_filter`)."""
    return {
        "match": _match(Route(method="GET", path=policy.health_path)),
        "route": {"cluster": addresses.pools[0].name, "prefix_rewrite": ENGINE_HEALTH_PATH, "timeout": seconds(policy.timeouts.connect_s)},
        "request_headers_to_remove": ["authorization"],
    }


def _refusal(match: dict[str, Any], status: int, reason: str) -> dict[str, Any]:
    """A route that answers here and now, without asking the policy service."""
    return {
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": reason}},
        "typed_per_filter_config": {"envoy.filters.http.ext_authz": {"@type": f"{TYPE}.filters.http.ext_authz.v3.ExtAuthzPerRoute", "disabled": True}},
    }


def _match(route: Route) -> dict[str, Any]:
    return {"path": route.path, "headers": [{"name": ":method", "string_match": {"exact": route.method}}]}


def _with(match: dict[str, Any], header: str, value: str) -> dict[str, Any]:
    return {**match, "headers": [*match["headers"], {"name": header, "string_match": {"exact": value}}]}
