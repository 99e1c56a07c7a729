"""What Envoy tells of a request when it has ended: a line in the access log, and a report to the policy service (pure)."""

from typing import Any

from stack.serving.gateway.addresses import Addresses
from stack.serving.gateway.filters import TENANT_HEADER
from stack.serving.gateway.typed import TYPE, seconds, typed
from stack.serving.policy import GatewayPolicy

REPORT_PATH = "/.ended"
"""At the policy service. A route's path has no dot, so no request of a client is ever asked about under this one."""
REPORT_FLUSH_S = 0.02
"""Longest wait of a report: a tenant's slot is free that much later."""
REPORT_FIELDS = (
    "%REQ(X-REQUEST-ID)%",
    "%RESPONSE_CODE%",
    "%DYNAMIC_METADATA(stackproof:prompt_tokens)%",
    "%DYNAMIC_METADATA(stackproof:completion_tokens)%",
    f"%REQ({TENANT_HEADER.upper()})%",
    "%REQ(:METHOD)%",
    "%PATH(NQ)%",
    "%DURATION%",
    "%RESPONSE_DURATION%",
)
"""Separated by spaces; `-` where unknown, times in ms. `reports.py` reads them in this order."""


def access_logs(policy: GatewayPolicy, addresses: Addresses) -> list[dict[str, Any]]:
    """The file, and the report of a request's end where a limit or the metrics count on it."""
    file = typed("envoy.access_loggers.file", _access_log(policy, addresses.access_log))
    return [file, _report(policy)] if policy.reported else [file]


def _access_log(policy: GatewayPolicy, path: str) -> dict[str, Any]:
    """One JSON object per request: who, what, how long, how it ended; never a body, a query or a key."""
    fields = {
        "time": "%START_TIME%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        **({"trace_id": "%TRACE_ID%"} if policy.tracing else {}),
        "tenant": f"%REQ({TENANT_HEADER.upper()})%",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ)%",
        "status": "%RESPONSE_CODE%",
        "why": "%RESPONSE_CODE_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "prompt_tokens": "%DYNAMIC_METADATA(stackproof:prompt_tokens)%",
        "completion_tokens": "%DYNAMIC_METADATA(stackproof:completion_tokens)%",
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


def _report(policy: GatewayPolicy) -> dict[str, Any]:
    """OTLP over HTTP, one text per request that the policy service let through, or whose client left while it decided."""
    let_through = {"header_filter": {"header": {"name": TENANT_HEADER, "present_match": True}}}
    client_left = {"response_flag_filter": {"flags": ["DC"]}}
    return {
        **typed(
            "envoy.access_loggers.open_telemetry",
            {
                "@type": f"{TYPE}.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
                "http_service": {
                    "http_uri": {"uri": f"http://policy{REPORT_PATH}", "cluster": "policy", "timeout": seconds(policy.timeouts.authorization_s)},
                },
                "log_name": "ended",
                "disable_builtin_labels": True,
                "body": {"string_value": " ".join(REPORT_FIELDS)},
                "buffer_flush_interval": seconds(REPORT_FLUSH_S),
            },
        ),
        "filter": {"or_filter": {"filters": [let_through, client_left]}},
    }
