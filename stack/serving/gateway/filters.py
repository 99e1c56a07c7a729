"""What a request passes between the routes and the engine: the policy service's decision, then the change of its body (pure)."""

from importlib.resources import files
from typing import Any

from stack.serving.gateway.jwt import CLAIMS_HEADER
from stack.serving.gateway.typed import TYPE, seconds
from stack.serving.policy import GatewayPolicy

TENANT_HEADER = "x-stackproof-tenant"
"""Of the policy service's answer, sent on to the engine."""
SALT_HEADER = "x-stackproof-salt"
USAGE_HEADER = "x-stackproof-usage"
"""Of the policy service's answer, for `body.lua` alone: they become metadata and are never sent on."""


def ext_authz(policy: GatewayPolicy) -> dict[str, Any]:
    """Method, path, authorization and the whole body go to the policy service; only a 200 lets a request through."""
    return {
        "@type": f"{TYPE}.filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "failure_mode_allow": False,
        "status_on_error": {"code": "ServiceUnavailable"},
        "with_request_body": {"max_request_bytes": policy.limits.body_bytes, "allow_partial_message": False},
        "allowed_headers": {"patterns": [{"exact": "x-request-id"}, *({"exact": CLAIMS_HEADER} for _ in policy.issuers[:1])]},
        "http_service": {
            "server_uri": {"uri": "http://policy", "cluster": "policy", "timeout": seconds(policy.timeouts.authorization_s)},
            "authorization_response": {
                "allowed_upstream_headers": {"patterns": [{"exact": "authorization"}, {"exact": TENANT_HEADER}]},
                "allowed_client_headers": {"patterns": [{"exact": "www-authenticate"}, {"exact": "retry-after"}]},
                "dynamic_metadata_from_headers": {"patterns": [{"exact": SALT_HEADER}, {"exact": USAGE_HEADER}]},
            },
        },
    }


def body_filter() -> dict[str, Any]:
    """Adds the tenant's cache salt to a body, and reads the usage block of the answer; see `body.lua`."""
    script = (files("stack.serving.gateway") / "body.lua").read_text()
    return {"@type": f"{TYPE}.filters.http.lua.v3.Lua", "default_source_code": {"inline_string": script}}
