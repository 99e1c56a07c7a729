"""Signed tokens, checked by Envoy before the policy service is asked (pure)."""

from typing import Any

from stack.serving.gateway.typed import TYPE, seconds, typed
from stack.serving.policy import GatewayPolicy
from stack.serving.tenants import Issuer

CLAIMS_HEADER = "x-stackproof-claims"
"""The payload of a good token, for the policy service alone. A client's header of this name is dropped before."""
KEY_SETS_PATH = "/.key-sets/"
"""At the policy service, with the issuer's place in the policy. A route's path has no dot."""
KEY_SET_KEPT_S = 1.0
"""Then it is asked for again: a key that is taken out is good for that long after the policy service has seen it."""
CLOCK_SKEW_S = 30
AUTHORIZATION = "authorization"
API_KEY = r"(?i)bearer sp-.*"
"""What is none of a token's business: the policy service knows keys."""


def jwt_filters(policy: GatewayPolicy) -> list[dict[str, Any]]:
    """None without issuers; a request with neither key nor token is refused by the policy service."""
    if not policy.issuers:
        return []
    names = [f"issuer-{index}" for index in range(len(policy.issuers))]
    any_issuer = {"requires_any": {"requirements": [{"provider_name": name} for name in names]}} if len(names) > 1 else {"provider_name": names[0]}
    config = {
        "@type": f"{TYPE}.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": {name: _provider(issuer, index, policy) for index, (name, issuer) in enumerate(zip(names, policy.issuers, strict=True))},
        "rules": [
            {"match": _with({"string_match": {"safe_regex": {"regex": API_KEY}}})},
            {"match": _with({"present_match": True}), "requires": any_issuer},
        ],
    }
    return [typed("envoy.filters.http.jwt_authn", config)]


def key_set_missing(policy: GatewayPolicy, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Mappers of local replies: without its issuer's keys a token is not bad, which 401 would say, but cannot be judged now."""
    if not policy.issuers:
        return []
    told = {
        "@type": f"{TYPE}.access_loggers.filters.cel.v3.ExpressionFilter",
        "expression": "response.code_details == 'jwt_authn_access_denied{Jwks_remote_fetch_is_failed}'",
    }
    return [{"filter": {"extension_filter": typed("envoy.access_loggers.extension_filters.cel", told)}, "status_code": 503, "body": body}]


def _with(condition: dict[str, Any]) -> dict[str, Any]:
    return {"prefix": "/", "headers": [{"name": AUTHORIZATION, **condition}]}


def _provider(issuer: Issuer, index: int, policy: GatewayPolicy) -> dict[str, Any]:
    uri = {"uri": f"http://policy{KEY_SETS_PATH}{index}", "cluster": "policy", "timeout": seconds(policy.timeouts.authorization_s)}
    return {
        "issuer": issuer.issuer,
        "audiences": list(issuer.audiences),
        "remote_jwks": {"http_uri": uri, "cache_duration": seconds(KEY_SET_KEPT_S)},
        "from_headers": [{"name": AUTHORIZATION, "value_prefix": "Bearer "}],
        "forward": False,
        "forward_payload_header": CLAIMS_HEADER,
        "require_expiration": True,
        "clock_skew_seconds": CLOCK_SKEW_S,
    }
