"""A collector of traces: OTLP over HTTP, decoded by the published protobuf definitions."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Span:
    """Ids in hexadecimal; `parent` is empty for the first of a trace."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    duration_ms: float


@dataclass
class Collector:
    endpoint: str
    spans: list[Span] = field(default_factory=list)

    def wait(self, wanted: Callable[[list[Span]], Any], timeout_s: float = 15.0) -> list[Span]:
        """All spans as soon as `wanted` of them is true; AssertionError naming what came."""
        deadline = time.monotonic() + timeout_s
        while not wanted(self.spans):
            assert time.monotonic() < deadline, f"not among the spans: {[(span.name, span.attributes) for span in self.spans]}"
            time.sleep(0.05)
        return list(self.spans)


@contextmanager
def start_collector(tls: ssl.SSLContext | None = None) -> Iterator[Collector]:
    """On 127.0.0.1; over HTTPS with `tls`."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    class Receive(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = self.headers["content-length"]
            request = ExportTraceServiceRequest.FromString(self.rfile.read(int(length)) if length else b"".join(self._chunks()))
            collector.spans.extend(spans_of(request))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def _chunks(self) -> Iterator[bytes]:
            """Envoy sends a batch without telling its length."""
            while length := int(self.rfile.readline(), 16):
                yield self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receive) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        collector = Collector(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/v1/traces")
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield collector
        server.shutdown()


def spans_of(request: Any) -> Iterator[Span]:
    for resource in request.resource_spans:
        about = _attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    name=span.name,
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    kind=span.kind,
                    attributes=_attributes(span.attributes),
                    resource=about,
                    duration_ms=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e6,
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
