"""The real Envoy and the real policy service before a server that tells what reached it."""

import json
import time
from pathlib import Path

import httpx
import pytest
from gateway_kit import ENGINE_KEY, EchoGateway, raw_request, start_echo_gateway, status_of

from stack.serving.policy import load_policy

pytestmark = pytest.mark.slow
BODY = {"model": "m", "messages": [{"role": "user", "content": "a prompt that stays private"}]}
LIMITS = load_policy().limits


def post(gateway: EchoGateway, **headers: str) -> httpx.Response:
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=BODY, headers={"authorization": f"Bearer {gateway.key}", **headers}, timeout=10, verify=False)


def raw(gateway: EchoGateway, head: str, body: bytes = b"") -> int:
    return status_of(raw_request(gateway.url, head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body))


def test_the_engine_sees_its_own_key_the_tenant_and_none_of_the_clients_claims(echo_gateway: EchoGateway) -> None:
    claims = {
        "x-stackproof-tenant": "admin",
        "x-envoy-retry-on": "5xx",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-forwarded-for": "10.0.0.1",
        "x-original-url": "/invocations",
        "cookie": "a=b",
    }
    answer = post(echo_gateway, **claims)
    seen = answer.json()
    assert answer.status_code == 200
    assert seen["authorization"] == f"Bearer {ENGINE_KEY}"
    assert seen["x-stackproof-tenant"] == "clinic"
    assert not {"cookie", "x-original-url", "x-envoy-retry-on", "x-envoy-upstream-rq-timeout-ms"} & set(seen)
    assert "10.0.0.1" not in seen.get("x-forwarded-for", "")
    assert ENGINE_KEY not in str(answer.headers)


def test_without_a_decision_nothing_passes(tmp_path: Path) -> None:
    with start_echo_gateway(tmp_path) as gateway:
        gateway.policy_service.stop()
        answer = post(gateway)
        assert answer.status_code == 503
        assert answer.json()["error"]["message"] == "the model is not answering, try again later"
        assert httpx.get(f"{gateway.url}/healthz", verify=False).status_code == 503
        assert not gateway.reached


def test_bodies_and_headers_beyond_the_limits_do_not_pass(echo_gateway: EchoGateway) -> None:
    large = {**BODY, "messages": [{"role": "user", "content": "x" * LIMITS.body_bytes}]}
    answer = httpx.post(f"{echo_gateway.url}/v1/chat/completions", json=large, headers={"authorization": f"Bearer {echo_gateway.key}"}, verify=False)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == 413
    assert post(echo_gateway, **{"x-large": "x" * (LIMITS.headers_kib << 10)}).status_code == 431
    assert post(echo_gateway, **{f"x-{number}": "1" for number in range(LIMITS.headers_count)}).status_code == 431
    assert not echo_gateway.reached


def test_a_client_that_sends_too_slowly_is_cut_off(echo_gateway: EchoGateway) -> None:
    started = time.monotonic()
    answer = raw(echo_gateway, f"POST /v1/chat/completions HTTP/1.1\nHost: x\nAuthorization: Bearer {echo_gateway.key}\nContent-Length: 100", b"{")
    assert answer in {0, 408}
    assert time.monotonic() - started < 8
    assert raw(echo_gateway, "POST /v1/chat/completions HTTP/1.1\nHost: x\nX-Never") in {0, 400, 408}
    assert not echo_gateway.reached


def test_the_admin_interface_tells_readiness_and_counters_and_takes_no_orders(echo_gateway: EchoGateway) -> None:
    assert echo_gateway.admin.stat().st_mode & 0o077 == 0
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(echo_gateway.admin)), base_url="http://admin") as admin:
        assert admin.get("/ready").status_code == 200
        assert "envoy_http_downstream_rq_total" in admin.get("/stats/prometheus").text
        for path in ("/config_dump", "/certs", "/clusters", "/logging", "/", "/runtime"):
            assert admin.get(path).status_code == 403, path
        for path in ("/quitquitquit", "/drain_listeners", "/healthcheck/fail", "/reset_counters"):
            assert admin.post(path).status_code == 403, path
    assert post(echo_gateway).status_code == 200


@pytest.mark.parametrize(
    "head",
    [
        "GET http://127.0.0.1/v1/models HTTP/1.1\nHost: x",
        "GET /v1/models HTTP/1.0",
        "GET /v1/models HTTP/1.1",
        "GET /v1/models HTTP/1.1\nHost: x,y",
        "GET /v1/models HTTP/1.1\nHost: ",
        "GET /v1/models HTTP/1.1\nHost: x\nHost: y",
        "GET /v1/models HTTP/1.1\nHost: x\nx_tenant: y",
        "GET /v1/models HTTP/1.1\nHost: x\nContent-Length: 2\nContent-Length: 3",
        "POST /v1/completions HTTP/1.1\nHost: x\nContent-Length: 2\nTransfer-Encoding: chunked",
        "POST /v1/completions HTTP/1.1\nHost: x\nTransfer-Encoding: xchunked",
        "GET /v1/models HTTP/1.1\nHost: x\nUpgrade: websocket\nConnection: upgrade",
        "CONNECT 127.0.0.1:22 HTTP/1.1\nHost: x",
        "TRACE /v1/models HTTP/1.1\nHost: x",
        "OPTIONS * HTTP/1.1\nHost: x",
        "PRI * HTTP/2.0",
    ],
)
def test_ambiguous_framing_and_odd_forms_never_reach_the_engine(echo_gateway: EchoGateway, head: str) -> None:
    status = raw(echo_gateway, head.replace("HTTP/1.1\n", f"HTTP/1.1\nAuthorization: Bearer {echo_gateway.key}\n"))
    assert status in {0, 400, 403, 404, 411, 426, 501, 505}
    assert not echo_gateway.reached


def test_the_access_log_says_who_and_how_but_neither_what_nor_with_which_key(echo_gateway: EchoGateway) -> None:
    passed = post(echo_gateway)
    refused = httpx.post(f"{echo_gateway.url}/v1/chat/completions", json=BODY, headers={"x-stackproof-tenant": "admin"}, verify=False)
    ids = {answer.headers["x-request-id"] for answer in (passed, refused)}
    entries: dict[str, dict[str, object]] = {}
    deadline = time.monotonic() + 10
    while not ids <= set(entries) and time.monotonic() < deadline:
        time.sleep(0.1)
        entries = {entry["request_id"]: entry for entry in map(json.loads, echo_gateway.access_log.read_text().splitlines())}
    told = entries[passed.headers["x-request-id"]]
    assert (told["tenant"], told["path"], told["status"]) == ("clinic", "/v1/chat/completions", 200)
    told = entries[refused.headers["x-request-id"]]
    assert (told["tenant"], told["status"]) == (None, 401)
    assert "private" not in echo_gateway.access_log.read_text()
    assert echo_gateway.key not in echo_gateway.access_log.read_text()
