"""One trace id from the gateway to the device: reading it, and telling the engine to continue it (pure).

The gateway sends `traceparent` (W3C Trace Context, level 1) to the policy service and to the engine. vLLM's own span hangs
under it once the engine knows a collector; its resource attributes say which engine on which devices that was.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote

from stack.serving.policy import Tracing

TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
NO_TRACE = "0" * 32
"""Not a valid id."""
ENGINE_SERVICE = "stackproof-engine"


def trace_id_of(traceparent: str | None) -> str | None:
    """The 32 hexadecimal digits that all spans of a request share; None where there is no valid header."""
    found = TRACEPARENT.fullmatch(traceparent) if traceparent else None
    return found[1] if found and found[1] != NO_TRACE else None


@dataclass(frozen=True)
class EngineTracing:
    """What is added to an engine's command line and environment."""

    arguments: tuple[str, ...]
    environment: dict[str, str]


def engine_tracing(tracing: Tracing, engine_name: str, *, host: str, devices: tuple[str, ...] = ()) -> EngineTracing:
    """vLLM sends its spans to the gateway's collector and names itself by engine, host and the (hashed) UUIDs of its devices.

    An engine on processor cores has no such devices. Which requests are sampled is the gateway's choice: the SDK's default sampler
    follows the flag in `traceparent`. vLLM takes OTLP over gRPC where the protocol is not named. Over TLS the exporter trusts the certificates of
    certifi where no file is named.
    """
    about = {"service.instance.id": engine_name, "host.name": host, **({"stackproof.devices": " ".join(devices)} if devices else {})}
    return EngineTracing(
        arguments=("--otlp-traces-endpoint", tracing.endpoint),
        environment={
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            **({"OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE": tracing.ca_file} if tracing.ca_file is not None else {}),
            "OTEL_SERVICE_NAME": ENGINE_SERVICE,
            # Percent-encoded as in W3C Baggage, which is what the SDK decodes.
            "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{name}={quote(value, safe='')}" for name, value in about.items()),
        },
    )
