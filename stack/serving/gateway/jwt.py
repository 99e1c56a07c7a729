"""Signed tokens, checked by Envoy before the policy service is asked (pure)."""

from typing import Any

from stack.serving.gateway.typed import TYPE, typed
from stack.serving.policy import GatewayPolicy
from stack.serving.tenants import Issuer

CLAIMS_HEADER = "x-stackproof-claims"
"""The payload of a good token, for the policy service alone. A client's header of this name is dropped before."""
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
        "providers": dict(zip(names, map(_provider, policy.issuers), strict=True)),
        "rules": [
            {"match": _with({"string_match": {"safe_regex": {"regex": API_KEY}}})},
            {"match": _with({"present_match": True}), "requires": any_issuer},
        ],
    }
    return [typed("envoy.filters.http.jwt_authn", config)]


def _with(condition: dict[str, Any]) -> dict[str, Any]:
    return {"prefix": "/", "headers": [{"name": AUTHORIZATION, **condition}]}


def _provider(issuer: Issuer) -> dict[str, Any]:
    return {
        "issuer": issuer.issuer,
        "audiences": list(issuer.audiences),
        "local_jwks": {"filename": issuer.key_set},
        "from_headers": [{"name": AUTHORIZATION, "value_prefix": "Bearer "}],
        "forward": False,
        "forward_payload_header": CLAIMS_HEADER,
        "require_expiration": True,
        "clock_skew_seconds": CLOCK_SKEW_S,
    }
