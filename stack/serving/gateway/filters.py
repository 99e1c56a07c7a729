"""What a request passes between the routes and the engine: the policy service's decision, then the change of its body (pure)."""

from importlib.resources import files
from typing import Any

from stack.serving.gateway.addresses import Addresses
from stack.serving.gateway.jwt import CLAIMS_HEADER
from stack.serving.gateway.typed import TYPE, seconds, typed
from stack.serving.policy import GatewayPolicy

TENANT_HEADER = "x-stackproof-tenant"
"""Of the policy service's answer, sent on to the engine."""
MODEL_HEADER = "x-stackproof-model"
"""Likewise: the model that was asked for, by which Envoy finds the pool."""
PREFIX_HEADER = "x-stackproof-prefix"
"""Likewise: a digest of how the prompt begins, by which Envoy finds the engine that has seen it."""
AUTHZ_METADATA = "envoy.filters.http.ext_authz"
"""Where headers of the policy service's answer are kept that nobody behind the gateway gets."""
SALT_HEADER = "x-stackproof-salt"
USAGE_HEADER = "x-stackproof-usage"
EDITS_HEADER = "x-stackproof-edits"
"""Of the policy service's answer, for `body.lua` and `usage.lua` alone: they become metadata and are never sent on."""


def ext_authz(policy: GatewayPolicy, addresses: Addresses) -> dict[str, Any]:
    """Method, path, authorization and the whole body go to the policy service; only a 200 lets a request through."""
    granted = ["authorization", TENANT_HEADER, *([MODEL_HEADER] if addresses.models else []), *([PREFIX_HEADER] if policy.routing.by == "prefix" else [])]
    kept = [SALT_HEADER, USAGE_HEADER, EDITS_HEADER, *([MODEL_HEADER] if policy.tracing else [])]
    return {
        "@type": f"{TYPE}.filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "failure_mode_allow": False,
        **({"clear_route_cache": True} if addresses.models else {}),
        "status_on_error": {"code": "ServiceUnavailable"},
        "with_request_body": {"max_request_bytes": policy.limits.body_bytes, "allow_partial_message": False},
        "allowed_headers": {"patterns": [{"exact": "x-request-id"}, *({"exact": CLAIMS_HEADER} for _ in policy.issuers[:1])]},
        "http_service": {
            "server_uri": {"uri": "http://policy", "cluster": "policy", "timeout": seconds(policy.timeouts.authorization_s)},
            "authorization_response": {
                "allowed_upstream_headers": {"patterns": [{"exact": name} for name in granted]},
                "allowed_client_headers": {"patterns": [{"exact": "www-authenticate"}, {"exact": "retry-after"}]},
                "dynamic_metadata_from_headers": {"patterns": [{"exact": name} for name in kept]},
            },
        },
    }


def body_filter(policy: GatewayPolicy) -> dict[str, Any]:
    """Makes the edits that take personal data out of a body and adds the tenant's cache salt; reads the usage block of answers where something counts it."""
    scripts = ["body.lua", *(["usage.lua"] if policy.reported or policy.limits_tenants else [])]
    script = "\n".join((files("stack.serving.gateway") / name).read_text() for name in scripts)
    return {"@type": f"{TYPE}.filters.http.lua.v3.Lua", "default_source_code": {"inline_string": script}}


def health_filter(policy: GatewayPolicy, addresses: Addresses) -> list[dict[str, Any]]:
    """Where several models are served: healthy is a gateway with an engine in service for each. None where the one engine answers itself."""
    if not addresses.models:
        return []
    config = {
        "@type": f"{TYPE}.filters.http.health_check.v3.HealthCheck",
        "pass_through_mode": False,
        "headers": [{"name": ":path", "string_match": {"exact": policy.health_path}}],
        "cluster_min_healthy_percentages": {pool.name: {"value": 1} for pool in addresses.pools},
    }
    return [typed("envoy.filters.http.health_check", config)]
