"""From a policy to Envoy's configuration: pure, and free of secrets.

Order of a request: framing and header limits, escaped slashes refused, internal headers dropped, exact
match of method and raw path (anything else is 404 here), the policy service (ext_authz, fail closed),
the engine. Paths are not normalised on purpose: an allow list over raw bytes leaves nothing to disagree
about with the engine's own parser.

The engine's key is not in here: the policy service hands it over per request in its `authorization`
answer, which replaces the client's. So the file may be read by anybody and goes into a ConfigMap as it is.
"""

import ipaddress
from typing import Any

from pydantic import Field

from stack.evidence.record import Frozen
from stack.serving.policy import GatewayPolicy, Route

TENANT_HEADER = "x-stackproof-tenant"
ENGINE_HEALTH_PATH = "/health"
UPSTREAM_IDLE_S = 60.0
"""Of kept connections to engine and policy service; shorter than their own 75 s, so that none closes under a request."""
HOST_PATTERN = r"[A-Za-z0-9.:\[\]_-]+"
BUFFER_BYTES = 64 << 10
DROPPED_HEADERS = (
    "cookie",
    "forwarded",
    "proxy-authorization",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-http-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
)
"""Of the client: nothing behind the gateway may take them for the gateway's word."""
DROPPED_PREFIXES = ("x-envoy-", "x-stackproof-")
"""`x-envoy-*` would let a client choose retries and timeouts."""
TYPE = "type.googleapis.com/envoy.extensions"


class Addresses(Frozen):
    """Where the parts listen. An address is `host:port`, or `unix:/path`."""

    listen: str = Field(pattern=r"^[^:/]+:\d+$")
    engine: str
    policy_service: str
    admin: str
    access_log: str = Field(description="File the JSON access log is appended to; /dev/stdout in a container")


def render_envoy(policy: GatewayPolicy, addresses: Addresses) -> dict[str, Any]:
    """Envoy's bootstrap configuration, ready to be dumped as YAML or JSON."""
    limits = policy.limits
    return {
        "admin": {
            "address": _address(addresses.admin),
            "allow_paths": [{"exact": "/ready"}, {"exact": "/stats"}, {"exact": "/stats/prometheus"}],
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{TYPE}.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": limits.connections,
                    },
                }
            ]
        },
        "static_resources": {
            "listeners": [
                {
                    "name": "gateway",
                    "address": _address(addresses.listen),
                    "per_connection_buffer_limit_bytes": BUFFER_BYTES,
                    "filter_chains": [{"filters": [_typed("envoy.filters.network.http_connection_manager", _connection_manager(policy, addresses))]}],
                }
            ],
            "clusters": [
                _cluster("engine", addresses.engine, policy, requests=limits.requests, pending=limits.pending),
                _cluster("policy", addresses.policy_service, policy, requests=limits.connections, pending=limits.connections),
            ],
        },
    }


def _connection_manager(policy: GatewayPolicy, addresses: Addresses) -> dict[str, Any]:
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
        "request_headers_timeout": _seconds(times.headers_s),
        "request_timeout": _seconds(times.request_s),
        "stream_idle_timeout": _seconds(times.idle_s),
        "drain_timeout": _seconds(times.drain_s),
        "common_http_protocol_options": {
            "idle_timeout": _seconds(times.idle_s),
            "max_headers_count": limits.headers_count,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http_protocol_options": {"allow_absolute_url": False, "accept_http_10": False},
        "early_header_mutation_extensions": [
            _typed(
                "envoy.http.early_header_mutation.header_mutation",
                {
                    "@type": f"{TYPE}.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                    "mutations": [
                        *({"remove": name} for name in DROPPED_HEADERS),
                        *({"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in DROPPED_PREFIXES),
                    ],
                },
            )
        ],
        "local_reply_config": _local_replies(),
        "access_log": [_typed("envoy.access_loggers.file", _access_log(addresses.access_log))],
        "route_config": {"name": "allowed", "virtual_hosts": [{"name": "any", "domains": ["*"], "routes": _routes(policy)}]},
        "http_filters": [
            _typed("envoy.filters.http.ext_authz", _ext_authz(policy)),
            _typed("envoy.filters.http.router", {"@type": f"{TYPE}.filters.http.router.v3.Router", "suppress_envoy_headers": True}),
        ],
    }


def _routes(policy: GatewayPolicy) -> list[dict[str, Any]]:
    """An odd Host is refused, then the allow list, the health path, and 404 for the rest. No route retries: a POST may have been served."""
    times = policy.timeouts
    allowed = [
        {
            "match": _match(route),
            "route": {"cluster": "engine", "timeout": _seconds(times.response_s), "idle_timeout": _seconds(times.idle_s)},
        }
        for route in policy.routes
    ]
    health = {
        "match": _match(Route(method="GET", path=policy.health_path)),
        "route": {"cluster": "engine", "prefix_rewrite": ENGINE_HEALTH_PATH, "timeout": _seconds(times.connect_s)},
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


def _ext_authz(policy: GatewayPolicy) -> dict[str, Any]:
    """Method, path, authorization and the whole body go to the policy service; only a 200 lets a request through."""
    return {
        "@type": f"{TYPE}.filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "failure_mode_allow": False,
        "status_on_error": {"code": "ServiceUnavailable"},
        "with_request_body": {"max_request_bytes": policy.limits.body_bytes, "allow_partial_message": False},
        "http_service": {
            "server_uri": {"uri": "http://policy", "cluster": "policy", "timeout": _seconds(policy.timeouts.authorization_s)},
            "authorization_response": {
                "allowed_upstream_headers": {"patterns": [{"exact": "authorization"}, {"exact": TENANT_HEADER}]},
                "allowed_client_headers": {"patterns": [{"exact": "www-authenticate"}]},
            },
        },
    }


def _local_replies() -> dict[str, Any]:
    """Every answer the gateway gives itself has the API's error shape, and a fault behind it is not described."""
    return {
        "mappers": [
            {
                "filter": {"status_code_filter": {"comparison": {"op": "GE", "value": {"default_value": 500, "runtime_key": "stackproof.hidden_status"}}}},
                "body": {"inline_string": "the model is not answering, try again later"},
            }
        ],
        "body_format": {
            "content_type": "application/json",
            "json_format": {"error": {"message": "%LOCAL_REPLY_BODY%", "type": "gateway_error", "code": "%RESPONSE_CODE%"}},
        },
    }


def _access_log(path: str) -> dict[str, Any]:
    """One JSON object per request: who, what, how long, how it ended; never a body, a query or a key."""
    fields = {
        "time": "%START_TIME%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "tenant": f"%REQ({TENANT_HEADER.upper()})%",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ)%",
        "status": "%RESPONSE_CODE%",
        "why": "%RESPONSE_CODE_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "bytes_in": "%BYTES_RECEIVED%",
        "bytes_out": "%BYTES_SENT%",
        "first_byte_ms": "%RESPONSE_DURATION%",
        "duration_ms": "%DURATION%",
        "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    }
    return {
        "@type": f"{TYPE}.access_loggers.file.v3.FileAccessLog",
        "path": path,
        "log_format": {"json_format": fields},
    }


def _cluster(name: str, address: str, policy: GatewayPolicy, *, requests: int, pending: int) -> dict[str, Any]:
    return {
        "name": name,
        "type": "STATIC" if _is_fixed(address) else "STRICT_DNS",
        "connect_timeout": _seconds(policy.timeouts.connect_s),
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "circuit_breakers": {"thresholds": [{"max_connections": requests, "max_requests": requests, "max_pending_requests": pending, "max_retries": 0}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{TYPE}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
                "common_http_protocol_options": {"idle_timeout": _seconds(UPSTREAM_IDLE_S)},
            }
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(address)}}]}],
        },
    }


def _address(address: str) -> dict[str, Any]:
    if address.startswith("unix:"):
        return {"pipe": {"path": address.removeprefix("unix:"), "mode": 0o600}}
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _is_fixed(address: str) -> bool:
    """Whether an address needs no name resolution."""
    if address.startswith("unix:"):
        return True
    try:
        ipaddress.ip_address(address.rpartition(":")[0])
    except ValueError:
        return False
    return True


def _typed(name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "typed_config": config}


def _seconds(value: float) -> str:
    """A protobuf Duration."""
    return f"{value:g}s"
