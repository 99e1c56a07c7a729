"""Spans of requests: Envoy's OpenTelemetry tracer over OTLP/HTTP (pure).

A traced request has three spans of Envoy's: `gateway` from first byte to last, the policy service's decision under it, and
`engine` for what one engine answered. The last one's id goes on to the engine in `traceparent`.
"""

from typing import Any
from urllib.parse import urlsplit

from stack.serving.gateway.filters import AUTHZ_METADATA, MODEL_HEADER, TENANT_HEADER
from stack.serving.gateway.tls import CIPHERS_OF_1_2
from stack.serving.gateway.typed import TYPE, address_of, discovery, is_fixed, seconds, typed
from stack.serving.policy import GatewayPolicy, Tracing

COLLECTOR = "collector"
SERVICE = "stackproof-gateway"
EXPORT_TIMEOUT_S = 1.0
TRACE_HEADERS = ("traceparent", "tracestate", "baggage", "x-client-trace-id")
"""A client's: they would join its trace to ours, or choose what is sampled."""
RUNTIME = {"tracing.opentelemetry.flush_interval_ms": 1000, "tracing.opentelemetry.min_flush_spans": 128}
"""A batch goes when it has so many spans or is so old. Envoy's own 5 spans would be a call for every second request."""


def dropped_trace_headers(policy: GatewayPolicy) -> tuple[str, ...]:
    """Whether or not the gateway traces: an engine behind it does not listen to clients either."""
    trusted = policy.tracing is not None and policy.tracing.trust_client
    return () if trusted else TRACE_HEADERS


def tracing_config(policy: GatewayPolicy) -> dict[str, Any]:
    """Member `tracing` of the connection manager, nothing where it is off."""
    if policy.tracing is None:
        return {}
    endpoint = policy.tracing.endpoint
    return {
        "tracing": {
            "random_sampling": {"value": policy.tracing.sample_percent},
            "client_sampling": {"value": 100 if policy.tracing.trust_client else 0},
            "spawn_upstream_span": True,
            # The default is the Host header: a client's text.
            "operation": "gateway",
            "upstream_operation": "engine",
            "custom_tags": [
                {"tag": "stackproof.tenant", "request_header": {"name": TENANT_HEADER}},
                {"tag": "stackproof.model", "metadata": {"kind": {"request": {}}, "metadata_key": {"key": AUTHZ_METADATA, "path": [{"key": MODEL_HEADER}]}}},
                # Envoy's own has the query.
                {"tag": "http.url", "value": "%PATH(NQ)%"},
            ],
            "provider": {
                "name": "envoy.tracers.opentelemetry",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                    "service_name": SERVICE,
                    "http_service": {"http_uri": {"uri": endpoint, "cluster": COLLECTOR, "timeout": seconds(EXPORT_TIMEOUT_S)}},
                },
            },
        }
    }


def collector_address(tracing: Tracing) -> tuple[str, int]:
    """Host and port."""
    host, _, port = urlsplit(tracing.endpoint).netloc.rpartition(":")
    return host, int(port)


def collector_cluster(tracing: Tracing) -> dict[str, Any]:
    """A collector that does not answer, or is not to be trusted, costs spans, never a request."""
    address = urlsplit(tracing.endpoint).netloc
    secured = {} if tracing.authorities is None else {"transport_socket": _upstream_tls(address, tracing.authorities)}
    return {
        "name": COLLECTOR,
        **discovery(address),
        "connect_timeout": seconds(EXPORT_TIMEOUT_S),
        "load_assignment": {"cluster_name": COLLECTOR, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address_of(address)}}]}]},
        **secured,
    }


def _upstream_tls(address: str, authorities: str) -> dict[str, Any]:
    """The certificate must be of these authorities and for this very host: an authority alone would let in all whom it knows.

    Envoy reads the file when it starts.
    """
    host, fixed = address.rpartition(":")[0].lower(), is_fixed(address)
    name = {"san_type": "IP_ADDRESS" if fixed else "DNS", "matcher": {"exact": host}}
    context = {
        "@type": f"{TYPE}.transport_sockets.tls.v3.UpstreamTlsContext",
        # A server name is a name: RFC 6066, section 3, leaves addresses out.
        **({} if fixed else {"sni": host}),
        "common_tls_context": {
            "alpn_protocols": ["http/1.1"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3", "cipher_suites": list(CIPHERS_OF_1_2)},
            "validation_context": {"trusted_ca": {"filename": authorities}, "match_typed_subject_alt_names": [name]},
        },
    }
    return typed("envoy.transport_sockets.tls", context)
