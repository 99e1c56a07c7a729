"""Tenants' limits and cache salts, by the real Envoy and the real policy service."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_kit import ENGINE_KEY, STREAM_WORDS, EchoGateway, start_echo_gateway

from stack.serving.audit_log import verify_log
from stack.serving.keys import ApiKey, hash_key, new_key, write_keys
from stack.serving.policy import GatewayPolicy, load_policy
from stack.serving.tenants import RateClass

pytestmark = pytest.mark.slow
CLINIC, SCHOOL, SLOW = new_key(), new_key(), new_key()
KEYS = (
    ApiKey(tenant="clinic", sha256=hash_key(CLINIC)),
    ApiKey(tenant="school", sha256=hash_key(SCHOOL), rate_class="wide"),
    ApiKey(tenant="slow", sha256=hash_key(SLOW), rate_class="single"),
)
WIDE = RateClass(tokens_per_minute=10_000)


def policy(**default: Any) -> GatewayPolicy:
    classes = {"default": RateClass(**default), "wide": WIDE, "single": RateClass(concurrent_requests=1)}
    return load_policy().model_copy(update={"classes": classes})


def ask(gateway: EchoGateway, key: str, **fields: Any) -> httpx.Response:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 40, **fields}
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}, timeout=20, verify=False)


def start(folder: Path, **default: Any) -> Any:
    return start_echo_gateway(folder, policy=policy(**default), keys=KEYS)


def within(seconds: float, is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(0.05)
    return False


def test_requests_a_minute_are_limited_per_tenant_and_the_answer_says_when_to_come_back(tmp_path: Path) -> None:
    with start(tmp_path, requests_per_minute=2) as gateway:
        assert [ask(gateway, CLINIC).status_code for _ in range(4)] == [200, 200, 429, 429]
        refused = ask(gateway, CLINIC)
        assert 50 <= int(refused.headers["retry-after"]) <= 60
        assert refused.json()["error"] == {"message": "2 requests a minute are this key's limit", "type": "gateway_error", "code": 429}
        assert ask(gateway, SCHOOL).status_code == 200
        assert len(gateway.reached) == 3


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_are_charged_by_estimate_and_corrected_by_the_engines_count(tmp_path: Path, stream: bool) -> None:
    # Estimated 2 + 40, counted 12 by the engine: by estimates alone, the third would be refused.
    with start(tmp_path, tokens_per_minute=100) as gateway:
        for _ in range(4):
            assert ask(gateway, CLINIC, stream=stream).status_code == 200
            time.sleep(0.2)
        refused = ask(gateway, CLINIC, max_tokens=60)
        assert (refused.status_code, refused.json()["error"]["message"]) == (429, "100 tokens a minute are this key's limit")
        assert ask(gateway, CLINIC, max_tokens=50).status_code == 200
        assert ask(gateway, CLINIC, max_tokens=200).status_code == 400


def test_an_error_of_the_engine_gives_the_estimate_back(tmp_path: Path) -> None:
    with start(tmp_path, tokens_per_minute=100) as gateway:
        for _ in range(4):
            assert ask(gateway, CLINIC, max_tokens=90, seed=422).status_code == 422
            time.sleep(0.2)


def test_a_stream_is_as_the_client_asked_whether_the_gateway_asked_for_usage_or_not(tmp_path: Path) -> None:
    with start(tmp_path) as gateway:
        for key in (CLINIC, SCHOOL):
            events = [line.removeprefix("data: ") for line in ask(gateway, key, stream=True).text.split("\n\n") if line]
            assert [json.loads(event)["choices"][0]["delta"]["content"] for event in events[:-1]] == list(STREAM_WORDS)
            assert events[-1] == "[DONE]"
            assert '"usage":{' in ask(gateway, key, stream=True, stream_options={"include_usage": True}).text
        asked = [json.loads(body).get("stream_options") for body in gateway.bodies]
        assert asked == [None, {"include_usage": True}, {"include_usage": True}, {"include_usage": True}]


def test_a_second_request_of_a_class_for_one_is_refused_while_the_first_runs_and_served_after_it(tmp_path: Path) -> None:
    with start(tmp_path) as gateway:
        assert [ask(gateway, SLOW).status_code for _ in range(20)] == [200] * 20
        gateway.go.clear()
        first: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: first.append(ask(gateway, SLOW)))
        thread.start()
        assert within(5, lambda: len(gateway.reached) == 21)
        refused = ask(gateway, SLOW)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        gateway.go.set()
        thread.join()
        assert first[0].status_code == 200
        assert ask(gateway, SLOW).status_code == 200


def test_a_client_that_leaves_gives_its_slot_back(tmp_path: Path) -> None:
    with start(tmp_path) as gateway:
        gateway.go.clear()
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{gateway.url}/v1/chat/completions",
                json={"model": "m", "messages": [{"role": "user", "content": "Hello"}]},
                headers={"authorization": f"Bearer {SLOW}"},
                timeout=0.5,
                verify=False,
            )
        gateway.go.set()
        assert ask(gateway, SLOW).status_code == 200


def test_a_model_outside_the_class_is_refused_by_name(tmp_path: Path) -> None:
    with start(tmp_path, models=("small",)) as gateway:
        refused = ask(gateway, CLINIC)
        assert (refused.status_code, refused.json()["error"]["message"]) == (403, "model m is not open to this key")
        assert ask(gateway, CLINIC, model="small").status_code == 200
        assert ask(gateway, SCHOOL).status_code == 200


def test_keys_come_and_go_without_a_restart_within_five_seconds(tmp_path: Path) -> None:
    with start(tmp_path) as gateway:
        added = new_key()
        assert (ask(gateway, CLINIC).status_code, ask(gateway, added).status_code) == (200, 401)
        write_keys(gateway.keys_file, (*KEYS[1:], ApiKey(tenant="new", sha256=hash_key(added))))
        assert within(5, lambda: ask(gateway, CLINIC).status_code == 401)
        assert ask(gateway, added).status_code == 200
        gateway.keys_file.write_text("[")
        assert within(5, lambda: ask(gateway, added).status_code == 503)
        write_keys(gateway.keys_file, KEYS)
        assert within(5, lambda: ask(gateway, CLINIC).status_code == 200)


def test_every_body_carries_its_tenants_salt_and_no_client_can_choose_one(tmp_path: Path) -> None:
    with start(tmp_path) as gateway:
        for key in (CLINIC, CLINIC, SCHOOL):
            assert ask(gateway, key).status_code == 200
        first, again, other = (json.loads(body) for body in gateway.bodies)
        assert first["cache_salt"] == again["cache_salt"] != other["cache_salt"]
        assert {**first, "cache_salt": None} == {**other, "cache_salt": None}
        assert ask(gateway, CLINIC, cache_salt=other["cache_salt"]).status_code == 400
        chosen = httpx.post(
            f"{gateway.url}/v1/chat/completions",
            content=b'{"model": "m", "cache\\u005fsalt": "mine", "messages": [{"role": "user", "content": "Hello"}]}',
            headers={"authorization": f"Bearer {CLINIC}"},
            verify=False,
        )
        assert chosen.status_code == 400
        assert not any("salt" in name for seen in gateway.reached for name in seen)


def test_a_large_body_and_one_sent_in_pieces_are_salted_too(tmp_path: Path) -> None:
    def pieces() -> Any:
        yield b' {"model": "m", '
        yield b'"messages": [{"role": "user", "content": "Hello"}]}'

    with start(tmp_path) as gateway:
        assert ask(gateway, CLINIC, messages=[{"role": "user", "content": "x" * 190_000}]).status_code == 200
        assert len(json.loads(gateway.bodies[0])["messages"][0]["content"]) == 190_000
        answer = httpx.post(f"{gateway.url}/v1/chat/completions", content=pieces(), headers={"authorization": f"Bearer {CLINIC}"}, verify=False)
        assert answer.status_code == 200
        assert set(json.loads(gateway.bodies[1])) == {"cache_salt", "model", "messages"}


@pytest.mark.parametrize("stream", [False, True])
def test_the_access_log_has_the_engines_token_counts(tmp_path: Path, stream: bool) -> None:
    with start(tmp_path) as gateway:
        ask(gateway, SCHOOL, stream=stream)
        assert within(5, lambda: gateway.access_log.exists() and gateway.access_log.read_text().endswith("\n"))
        told = json.loads(gateway.access_log.read_text().splitlines()[0])
        assert (told["prompt_tokens"], told["completion_tokens"]) == (7, 5)


def test_every_decision_is_in_the_audit_log_without_prompt_or_key(tmp_path: Path) -> None:
    with start(tmp_path, requests_per_minute=1) as gateway:
        passed = ask(gateway, CLINIC, messages=[{"role": "user", "content": "a private prompt"}])
        limited = ask(gateway, CLINIC)
        unknown = ask(gateway, "sp-unknown")
        wrong = ask(gateway, SCHOOL, chat_template="x")
        ids = [answer.headers["x-request-id"] for answer in (passed, limited, unknown, wrong)]
    text = (tmp_path / "audit.jsonl").read_text()
    told = {entry["request_id"]: (entry["tenant"], entry["model"], entry["decision"], entry["status"]) for entry in map(json.loads, text.splitlines())}
    assert [told[each] for each in ids] == [
        ("clinic", "m", "let through", 200),
        ("clinic", "m", "refused", 429),
        (None, None, "refused", 401),
        ("school", None, "refused", 400),
    ]
    assert not any(secret in text for secret in ("private", CLINIC, SCHOOL, "sp-unknown", ENGINE_KEY))
    assert verify_log(tmp_path / "audit.jsonl").faults == ()
