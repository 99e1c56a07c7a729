"""From a policy to Envoy's configuration: pure, and free of secrets.

In: a `GatewayPolicy` and the `Addresses` of a deployment. Out: one bootstrap document for Envoy.
Order of a request: framing and header limits, escaped slashes refused, internal headers dropped, exact
match of method and raw path (anything else is 404 here), the policy service (ext_authz, fail closed), the
tenant's cache salt, the engine. Paths are not normalised on purpose: an allow list over raw bytes leaves
nothing to disagree about with the engine's own parser.

The engine's key is not in here: the policy service hands it over per request in its `authorization`
answer, which replaces the client's. So the file may be read by anybody and goes into a ConfigMap as it is.
"""

from stack.serving.gateway.addresses import Addresses, Pool, Served
from stack.serving.gateway.clusters import endpoints_document
from stack.serving.gateway.filters import EDITS_HEADER, MODEL_HEADER, PREFIX_HEADER, SALT_HEADER, TENANT_HEADER, USAGE_HEADER
from stack.serving.gateway.jwt import CLAIMS_HEADER, KEY_SETS_PATH
from stack.serving.gateway.logs import REPORT_PATH
from stack.serving.gateway.observed import render_envoy
from stack.serving.gateway.routes import LIST_PATH
from stack.serving.gateway.tls import render_secrets

__all__ = [
    "CLAIMS_HEADER",
    "EDITS_HEADER",
    "KEY_SETS_PATH",
    "LIST_PATH",
    "MODEL_HEADER",
    "PREFIX_HEADER",
    "REPORT_PATH",
    "SALT_HEADER",
    "TENANT_HEADER",
    "USAGE_HEADER",
    "Addresses",
    "Pool",
    "Served",
    "endpoints_document",
    "render_envoy",
    "render_secrets",
]
