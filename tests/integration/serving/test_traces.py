"""One trace id from the client's request to the engine: real Envoy, real policy service, a collector of our own."""

import ipaddress
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import Authority
from cryptography import x509
from gateway_kit import EchoGateway, start_echo_gateway
from otlp_receiver import Collector, Span, start_collector

from stack.serving.policy import GatewayPolicy, Tracing, load_policy
from stack.serving.traces import engine_tracing, trace_id_of

pytestmark = pytest.mark.slow

PROMPT = "the patient's name is Amina"
CLIENTS_TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{CLIENTS_TRACE}-b7ad6b7169203331-01"
CLIENT, SERVER = 3, 2
"""Span kinds of OTLP."""


def traced_policy(collector: Collector, **options: Any) -> GatewayPolicy:
    return load_policy().model_copy(update={"tracing": Tracing(endpoint=collector.endpoint, **options)})


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with start_collector() as started:
        yield started


@pytest.fixture(scope="module")
def gateway(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EchoGateway]:
    with start_echo_gateway(tmp_path_factory.mktemp("traced"), policy=traced_policy(collector)) as started:
        yield started


def ask(gateway: EchoGateway, *, key: str | None = None, **headers: str) -> httpx.Response:
    body = {"model": "m1", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 4}
    sent = {"authorization": f"Bearer {key or gateway.key}", **headers}
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=body, headers=sent, timeout=10, trust_env=False, verify=False)


def lines(path: Path, request_id: str) -> dict[str, Any]:
    """The line of a log about a request; Envoy writes its own every half second."""
    deadline = time.monotonic() + 10
    while True:
        found = [entry for entry in map(json.loads, path.read_text().splitlines()) if entry.get("request_id") == request_id]
        if found:
            return dict(found[0])
        assert time.monotonic() < deadline, f"no line about {request_id} in {path}"
        time.sleep(0.1)


def of_request(spans: list[Span], request_id: str) -> list[Span]:
    trace = next((span.trace for span in spans if span.attributes.get("guid:x-request-id") == request_id), None)
    return [span for span in spans if span.trace == trace]


def test_one_trace_id_is_in_the_spans_both_logs_and_what_the_engine_received(gateway: EchoGateway, collector: Collector) -> None:
    answer = ask(gateway)
    request_id = answer.headers["x-request-id"]
    reached = trace_id_of(answer.json()["traceparent"])
    assert reached is not None
    spans = of_request(collector.wait(lambda found: len(of_request(found, request_id)) == 3), request_id)
    whole = next(span for span in spans if span.name == "gateway")
    engine = next(span for span in spans if span.name == "engine")
    assert {span.trace for span in spans} == {reached}
    assert (whole.parent, whole.kind, engine.parent, engine.kind) == ("", SERVER, whole.id, CLIENT)
    assert engine.id == answer.json()["traceparent"].split("-")[2], "what the engine does hangs under the span of its own request"
    assert lines(gateway.access_log, request_id)["trace_id"] == reached
    assert lines(gateway.access_log.with_name("audit.jsonl"), request_id)["trace_id"] == reached


def test_a_span_names_tenant_model_status_and_engine_and_no_prompt_key_or_query(gateway: EchoGateway, collector: Collector) -> None:
    request_id = ask(gateway).headers["x-request-id"]
    refused = httpx.get(f"{gateway.url}/v1/models?secret=1", headers={"authorization": f"Bearer {gateway.key}"}, trust_env=False, verify=False)
    spans = collector.wait(lambda found: of_request(found, request_id) and of_request(found, refused.headers["x-request-id"]))
    whole = next(span for span in of_request(spans, request_id) if span.name == "gateway")
    assert whole.resource["service.name"] == "stackproof-gateway"
    told = {name: whole.attributes[name] for name in ("stackproof.tenant", "stackproof.model", "http.status_code", "http.method", "http.url")}
    assert told == {
        "stackproof.tenant": "clinic",
        "stackproof.model": "m1",
        "http.status_code": "200",
        "http.method": "POST",
        "http.url": "/v1/chat/completions",
    }
    assert whole.attributes["upstream_cluster"] == "engine"
    assert next(span for span in of_request(spans, request_id) if span.name == "engine").attributes["upstream_address"].startswith("127.0.0.1:")
    everything = repr(spans)
    assert all(secret not in everything for secret in ("Amina", gateway.key, "secret=1"))
    assert next(span for span in of_request(spans, refused.headers["x-request-id"]) if span.name == "gateway").attributes["http.status_code"] == "400"


def test_a_client_neither_joins_a_trace_nor_chooses_what_is_sampled(gateway: EchoGateway) -> None:
    reached = ask(gateway, traceparent=TRACEPARENT, tracestate="a=b", baggage="c=d", **{"x-client-trace-id": "e"}).json()
    assert trace_id_of(reached["traceparent"]) not in {None, CLIENTS_TRACE}
    assert not {"baggage", "x-client-trace-id"} & set(reached)
    assert "a=b" not in reached.get("tracestate", "")


def test_a_trusted_clients_trace_is_continued_where_it_is_sampled(collector: Collector, tmp_path: Path) -> None:
    with start_echo_gateway(tmp_path, policy=traced_policy(collector, trust_client=True)) as gateway:
        unsampled, joined = ask(gateway, traceparent=f"{TRACEPARENT[:-1]}0"), ask(gateway, traceparent=TRACEPARENT)
        assert {trace_id_of(answer.json()["traceparent"]) for answer in (unsampled, joined)} == {CLIENTS_TRACE}
        assert unsampled.json()["traceparent"].endswith("-00")
        (whole,) = [span for span in collector.wait(lambda found: of_request(found, joined.headers["x-request-id"])) if span.parent == "b7ad6b7169203331"]
        assert whole.attributes["guid:x-request-id"] == joined.headers["x-request-id"]


def test_a_request_that_is_not_sampled_has_an_id_in_the_logs_and_no_span(collector: Collector, tmp_path: Path) -> None:
    with start_echo_gateway(tmp_path, policy=traced_policy(collector, sample_percent=0)) as gateway:
        answer = ask(gateway)
        assert answer.json()["traceparent"].endswith("-00")
        assert lines(gateway.access_log, answer.headers["x-request-id"])["trace_id"] == trace_id_of(answer.json()["traceparent"])
        time.sleep(1.5)  # longer than a batch waits
        assert not of_request(collector.spans, answer.headers["x-request-id"])


def test_without_a_collector_requests_pass_as_fast_as_ever(tmp_path: Path) -> None:
    policy = load_policy().model_copy(update={"tracing": Tracing(endpoint="http://127.0.0.1:9/v1/traces")})
    with start_echo_gateway(tmp_path, policy=policy) as gateway:
        answers = [ask(gateway) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.elapsed.total_seconds() for answer in answers)[10] < 0.5


def counted(gateway: EchoGateway, name: str) -> int:
    """A counter of Envoy's connections to the collector."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(gateway.admin)), base_url="http://admin") as admin:
        text = admin.get("/stats", params={"filter": rf"^cluster\.collector\.{name}$"}).text
    return int(text.rpartition(":")[2]) if ":" in text else 0


def secured_policy(endpoint: str, ca_file: Path) -> GatewayPolicy:
    return load_policy().model_copy(update={"tracing": Tracing(endpoint=endpoint, ca_file=str(ca_file))})


def test_spans_go_over_tls_to_a_collector_of_the_named_authority(tmp_path: Path) -> None:
    """By its address, so without a server name. By name: `test_chart_pods`."""
    authority = Authority.make(tmp_path, "site-ca")
    tls = authority.serving(tmp_path)
    asked_for: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    with start_collector(tls) as collector, start_echo_gateway(tmp_path, policy=secured_policy(collector.endpoint, authority.pem)) as gateway:
        request_id = ask(gateway).headers["x-request-id"]
        spans = of_request(collector.wait(lambda found: len(of_request(found, request_id)) == 3), request_id)
        assert {span.name for span in spans} >= {"gateway", "engine"}
        assert counted(gateway, r"ssl\.handshake") > 0
    assert set(asked_for) == {None}


@pytest.mark.parametrize(("trusted", "host", "why"), [("other-ca", "127.0.0.1", "fail_verify_error"), ("site-ca", "127.0.0.2", "fail_verify_san")])
def test_a_collector_that_is_not_to_be_trusted_gets_no_span_and_costs_no_request(trusted: str, host: str, why: str, tmp_path: Path) -> None:
    """One of another authority, and one with a certificate for another host."""
    authorities = {name: Authority.make(tmp_path, name) for name in ("site-ca", "other-ca")}
    with start_collector(authorities["site-ca"].serving(tmp_path, host=x509.IPAddress(ipaddress.ip_address(host)))) as collector:
        with start_echo_gateway(tmp_path, policy=secured_policy(collector.endpoint, authorities[trusted].pem)) as gateway:
            assert ask(gateway).status_code == 200
            deadline = time.monotonic() + 10
            while not counted(gateway, rf"ssl\.{why}"):
                assert time.monotonic() < deadline, "the collector was not tried"
                time.sleep(0.1)
            assert ask(gateway).status_code == 200
        assert collector.spans == []


EXPORT = """
import sys
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from vllm.tracing.otel import get_span_exporter

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(get_span_exporter(sys.argv[1])))
provider.get_tracer("test").start_span("llm_request").end()
provider.shutdown()
"""
"""What vLLM does with its own spans, without an engine."""


def test_the_engines_exporter_trusts_the_named_authority_and_no_other(tmp_path: Path) -> None:
    authority, other = Authority.make(tmp_path, "site-ca"), Authority.make(tmp_path, "other-ca")

    def export(endpoint: str, ca_file: Path) -> str:
        added = engine_tracing(Tracing(endpoint=endpoint, ca_file=str(ca_file)), "engine", host="here")
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | added.environment
        done = subprocess.run(
            [sys.executable, "-c", EXPORT, added.arguments[1]], env=environment, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    with start_collector(authority.serving(tmp_path)) as secured:
        told = export(secured.endpoint, other.pem)
        assert (secured.spans, "CERTIFICATE_VERIFY_FAILED" in told) == ([], True), told
        export(secured.endpoint, authority.pem)
        (span,) = secured.wait(lambda found: found)
    assert (span.name, span.resource["service.name"]) == ("llm_request", "stackproof-engine")
