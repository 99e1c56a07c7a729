"""The HTTP connection manager: framing, limits, what a client may not say, and how errors look (pure)."""

from typing import Any

from stack.serving.gateway.addresses import Addresses
from stack.serving.gateway.answers import answer_filter
from stack.serving.gateway.filters import body_filter, ext_authz, health_filter
from stack.serving.gateway.jwt import CLAIMS_HEADER, jwt_filters, key_set_missing
from stack.serving.gateway.logs import access_logs
from stack.serving.gateway.routes import routes
from stack.serving.gateway.tls import HSTS
from stack.serving.gateway.tracing import dropped_trace_headers, tracing_config
from stack.serving.gateway.typed import TYPE, seconds, typed
from stack.serving.policy import GatewayPolicy

DROPPED_HEADERS = (
    "cookie",
    "endpoint-load-metrics-format",
    "forwarded",
    "proxy-authorization",
    "x-data-parallel-rank",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-http-method-override",
    "x-original-url",
    "x-real-ip",
    "x-request-id",
    "x-rewrite-url",
    "x-session-id",
    "x-vllm-priority",
)
"""Of the client: nothing behind the gateway may take them for the gateway's word. vLLM obeys some of them: a client would choose its own priority."""
DROPPED_PREFIXES = ("x-envoy-", "x-stackproof-")
"""`x-envoy-*` would let a client choose retries and timeouts."""


FAULT = {"inline_string": "the model is not answering, try again later"}


def connection_manager(policy: GatewayPolicy, addresses: Addresses) -> dict[str, Any]:
    times, limits = policy.timeouts, policy.limits
    return {
        "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "gateway",
        "codec_type": "HTTP1",
        "server_name": "stackproof",
        "use_remote_address": True,
        "skip_xff_append": True,
        "generate_request_id": True,
        "always_set_request_id_in_response": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "max_request_headers_kb": limits.headers_kib,
        "request_headers_timeout": seconds(times.headers_s),
        "request_timeout": seconds(times.request_s),
        "stream_idle_timeout": seconds(times.idle_s),
        "drain_timeout": seconds(times.drain_s),
        "common_http_protocol_options": {
            "idle_timeout": seconds(times.idle_s),
            "max_headers_count": limits.headers_count,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http_protocol_options": {"allow_absolute_url": False, "accept_http_10": False},
        "early_header_mutation_extensions": [
            typed(
                "envoy.http.early_header_mutation.header_mutation",
                {
                    "@type": f"{TYPE}.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                    "mutations": [
                        *({"remove": name} for name in (*DROPPED_HEADERS, *dropped_trace_headers(policy))),
                        *({"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in DROPPED_PREFIXES),
                    ],
                },
            )
        ],
        "local_reply_config": _local_replies(policy),
        "access_log": access_logs(policy, addresses),
        **tracing_config(policy),
        "route_config": {
            "name": "allowed",
            "virtual_hosts": [{"name": "any", "domains": ["*"], "routes": routes(policy, addresses)}],
            **({"response_headers_to_add": [HSTS]} if policy.tls else {}),
            **({"request_headers_to_remove": [CLAIMS_HEADER]} if policy.issuers else {}),
        },
        "http_filters": [
            *jwt_filters(policy),
            typed("envoy.filters.http.ext_authz", ext_authz(policy, addresses)),
            *health_filter(policy, addresses),
            typed("envoy.filters.http.header_mutation", answer_filter()),
            typed("envoy.filters.http.lua", body_filter(policy)),
            typed("envoy.filters.http.router", {"@type": f"{TYPE}.filters.http.router.v3.Router", "suppress_envoy_headers": True}),
        ],
    }


def _local_replies(policy: GatewayPolicy) -> dict[str, Any]:
    """Every answer the gateway gives itself has the API's error shape, and a fault behind it is not described."""
    return {
        "mappers": [
            *key_set_missing(policy, FAULT),
            {
                "filter": {"status_code_filter": {"comparison": {"op": "GE", "value": {"default_value": 500, "runtime_key": "stackproof.hidden_status"}}}},
                "body": FAULT,
            },
        ],
        "body_format": {
            "content_type": "application/json",
            "json_format": {"error": {"message": "%LOCAL_REPLY_BODY%", "type": "gateway_error", "code": "%RESPONSE_CODE%"}},
        },
    }
