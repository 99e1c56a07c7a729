"""Personal data taken out of requests, by the real Envoy and the real policy service: what the engine got."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_kit import EchoGateway, start_echo_gateway

from stack.privacy import Mask, Pseudonym, create_key, find, read_key, redact
from stack.runtime.net import free_port
from stack.serving.audit_log import verify_log
from stack.serving.envoy_process import start_envoy
from stack.serving.gateway import Addresses, Pool
from stack.serving.keys import ApiKey, hash_key, new_key
from stack.serving.policy import Metrics, load_policy
from stack.serving.tenants import RateClass, Redact

pytestmark = pytest.mark.slow
MAIL, CARD, PHONE = "ann@clinic.co.ke", "4111 1111 1111 1111", "+254 712 345678"
SAID = f'Grüße 😀 "{MAIL}"\n\tЖди, {PHONE}, Жду {CARD} / or {MAIL}'
CLINIC, SCHOOL, PLAIN = new_key(), new_key(), new_key()
KEYS = (
    ApiKey(tenant="clinic", sha256=hash_key(CLINIC)),
    ApiKey(tenant="school", sha256=hash_key(SCHOOL), rate_class="school"),
    ApiKey(tenant="plain", sha256=hash_key(PLAIN), rate_class="plain"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("redaction")


@pytest.fixture(scope="module")
def metrics_address() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def gateway(folder: Path, metrics_address: str) -> Iterator[EchoGateway]:
    create_key(folder / "pii.key")
    classes = {
        "default": RateClass(),
        "school": RateClass(redact=Redact(kinds=("email",), how="pseudonym", key_file=str(folder / "pii.key")), tokens_per_minute=10_000_000),
        "plain": RateClass(redact="off"),
    }
    shipped = load_policy()
    policy = shipped.model_copy(update={"redact": Redact(), "classes": classes, "metrics": Metrics(policy_service=metrics_address)})
    with start_echo_gateway(folder, policy=policy, keys=KEYS) as started:
        yield started


def ask(gateway: EchoGateway, key: str, body: dict[str, Any] | bytes, path: str = "/v1/chat/completions", *, chunked: bool = False) -> httpx.Response:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    gateway.bodies.clear()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    return httpx.post(f"{gateway.url}{path}", content=iter([sent[:9], sent[9:]]) if chunked else sent, headers=headers, timeout=20, verify=False)


def chat(content: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}], **fields}


def got(gateway: EchoGateway) -> dict[str, Any]:
    """What the engine reads of the one body that reached it, without the gateway's salt."""
    (body,) = gateway.bodies
    read: dict[str, Any] = json.loads(body)
    assert len(read.pop("cache_salt")) == 32
    return read


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
def test_the_engine_gets_exactly_the_redacted_texts(gateway: EchoGateway, ascii_only: bool, chunked: bool) -> None:
    sent = json.dumps(chat([{"type": "text", "text": SAID}, {"type": "text", "text": "Thanks"}], user=MAIL), ensure_ascii=ascii_only).encode()
    answer = ask(gateway, CLINIC, sent, chunked=chunked)
    assert answer.status_code == 200, answer.text
    masked = 'Grüße 😀 "[EMAIL]"\n\tЖди, [PHONE], Жду [CARD] / or [EMAIL]'
    assert masked == redact(SAID, find(SAID, Redact().kinds), Mask())[0]
    assert got(gateway) == chat([{"type": "text", "text": masked}, {"type": "text", "text": "Thanks"}], user="[EMAIL]")
    assert int(answer.json()["content-length"]) == len(gateway.bodies[0]) if not chunked else True


def test_a_class_has_its_own_way_and_equal_values_stay_equal(gateway: EchoGateway, folder: Path) -> None:
    assert ask(gateway, SCHOOL, chat(SAID)).status_code == 200
    said = got(gateway)["messages"][1]["content"]
    assert said == redact(SAID, find(SAID, ["email"]), Pseudonym(read_key(folder / "pii.key")))[0]
    assert CARD in said
    assert MAIL not in said
    assert ask(gateway, PLAIN, chat(SAID)).status_code == 200
    assert got(gateway) == chat(SAID)


def test_a_body_without_personal_data_passes_byte_for_byte_but_for_the_salt(gateway: EchoGateway) -> None:
    sent = b' {"messages" : [{"role":"user","content":"Caf\\u00e9 \\/ \\"x\\" 12"}],\n"model":"m" , "temperature":1.0}'
    for key in (CLINIC, PLAIN):
        assert ask(gateway, key, sent).status_code == 200
        head, _, rest = gateway.bodies[0].partition(b'",')
        assert head.startswith(b'{"cache_salt":"')
        assert rest == sent.lstrip()[1:]


def test_prompts_embeddings_and_calls_of_tools_are_redacted(gateway: EchoGateway) -> None:
    assert ask(gateway, CLINIC, {"model": "m", "prompt": [MAIL, "two"]}, "/v1/completions").status_code == 200
    assert got(gateway)["prompt"] == ["[EMAIL]", "two"]
    assert ask(gateway, CLINIC, {"model": "m", "input": f"of {MAIL}"}, "/v1/embeddings").status_code == 200
    assert got(gateway)["input"] == "of [EMAIL]"
    call = {"id": "c", "type": "function", "function": {"name": "pay", "arguments": json.dumps({"to": f"Zoë {MAIL}", "card": 4111111111111111})}}
    messages = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": f"paid, told {MAIL}"}]
    assert ask(gateway, CLINIC, {"model": "m", "messages": messages}).status_code == 200
    assistant, tool = got(gateway)["messages"]
    assert json.loads(assistant["tool_calls"][0]["function"]["arguments"]) == {"to": "Zoë [EMAIL]", "card": "[CARD]"}
    assert tool["content"] == "paid, told [EMAIL]"


def test_streams_pass_as_they_are_and_a_hidden_usage_block_goes_with_redaction(gateway: EchoGateway) -> None:
    answer = ask(gateway, SCHOOL, chat(MAIL, stream=True))
    assert answer.text.endswith("data: [DONE]\n\n")
    assert '"usage":{"prompt_tokens":7' not in answer.text
    read = got(gateway)
    assert read["stream_options"] == {"include_usage": True}
    assert read["messages"][1]["content"].startswith("[EMAIL:")


def test_a_body_as_large_as_the_policy_allows_is_redacted_from_end_to_end(gateway: EchoGateway) -> None:
    filler = "я не тут. " * 10
    content = [{"type": "text", "text": f"{number} {MAIL} {filler}"} for number in range(1200)]
    sent = json.dumps(chat(content), ensure_ascii=False).encode()
    assert 200_000 < len(sent) <= load_policy().limits.body_bytes
    for key in (CLINIC, SCHOOL):
        answer = ask(gateway, key, sent)
        assert answer.status_code == 200, answer.text
        texts = [part["text"] for part in got(gateway)["messages"][1]["content"]]
        assert [text.split()[0] for text in texts] == [str(number) for number in range(1200)]
        assert all(text.split()[1].startswith("[EMAIL") and text.endswith(filler) for text in texts)


@pytest.mark.parametrize("key", [CLINIC, SCHOOL], ids=["masks", "pseudonyms"])
def test_as_many_values_as_the_answer_holds_go_through_and_more_are_refused(gateway: EchoGateway, key: str) -> None:
    fits, too_many = (14_000, 28_000) if key == CLINIC else (8_000, 12_000)
    answer = ask(gateway, key, {"model": "m", "prompt": "a@b.co " * fits, "max_tokens": 1}, "/v1/completions")
    assert answer.status_code == 200, answer.text
    assert got(gateway)["prompt"].count("[EMAIL") == fits
    refused = ask(gateway, key, {"model": "m", "prompt": "a@b.co " * too_many, "max_tokens": 1}, "/v1/completions")
    assert (refused.status_code, refused.json()["error"]["type"], refused.json()["error"]["code"]) == (413, "gateway_error", 413)
    assert f"holds {too_many} pieces of personal data" in refused.json()["error"]["message"]
    assert gateway.bodies == []


def test_counts_are_told_by_metrics_and_audit_log_and_no_value_is_anywhere(gateway: EchoGateway, folder: Path, metrics_address: str) -> None:
    assert ask(gateway, CLINIC, chat(SAID)).status_code == 200
    entry = json.loads((folder / "audit.jsonl").read_text().splitlines()[-1])
    assert (entry["tenant"], entry["redacted"]) == ("clinic", {"card": 1, "email": 2, "phone": 1})
    told = httpx.get(f"http://{metrics_address}/metrics", verify=False).text
    assert 'stackproof_gateway_redacted_values_total{kind="phone",tenant="clinic"}' in told
    assert verify_log(folder / "audit.jsonl").faults == ()
    for file in ("audit.jsonl", "access.log", "gateway.log", "policy.log"):
        content = (folder / file).read_text()
        assert not any(value in content for value in (MAIL, CARD, PHONE)), file


BODY = b'{"model":"m","prompt":"Hello"}'


@pytest.mark.parametrize(
    ("edits", "reaches"),
    [
        (f"{len(BODY)} 0", BODY),
        (f"{len(BODY)} 1 23 5 [X]", b'{"model":"m","prompt":"[X]"}'),
        (f"{len(BODY)} 2 23 2 [X] 1 2 [Y]", b'{"model":"m","prompt":"[X]l[Y]"}'),
        (f"{len(BODY) - 1} 1 23 5 [X]", None),  # of another body
        (f"{len(BODY)} 2 23 5 [X]", None),  # one is missing
        (f"{len(BODY)} 1 23 50 [X]", None),  # beyond the end
        (f"{len(BODY)} 1 50 1 [X]", None),
        (f"{len(BODY)} 1 -3 5 [X]", None),
        (f"{len(BODY)}", None),
        ("none", None),
    ],
)
def test_envoy_makes_the_edits_it_is_told_and_refuses_a_body_that_they_do_not_fit(tmp_path: Path, edits: str, reaches: bytes | None) -> None:
    reached: list[bytes] = []

    class Service(BaseHTTPRequestHandler):
        """Policy service and engine in one."""

        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if "x-stackproof-tenant" in self.headers:
                reached.append(body)
            self._answer({"x-stackproof-tenant": "clinic", "x-stackproof-salt": "s", "x-stackproof-edits": edits})

        def _answer(self, headers: dict[str, str]) -> None:
            self.send_response(200)
            for name, value in {**headers, "content-length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    port = free_port()
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        folders = Addresses(
            listen=f"127.0.0.1:{port}",
            pools=(Pool(engines=(address,)),),
            policy_service=address,
            admin=f"unix:{tmp_path / 'admin.sock'}",
            access_log=str(tmp_path / "access.log"),
        )
        envoy = start_envoy(load_policy(), folders, config=tmp_path / "envoy.yaml", log=tmp_path / "gateway.log")
        try:
            answer = httpx.post(f"http://127.0.0.1:{port}/v1/completions", content=BODY, timeout=10, verify=False)
        finally:
            envoy.stop()
            server.shutdown()
    if reaches is None:
        assert (answer.status_code, answer.json()["error"]["type"]) == (403, "gateway_error")
        assert "could not be taken out" in answer.json()["error"]["message"]
        assert reached == []
    else:
        assert reached == [reaches.replace(b"{", b'{"cache_salt":"s",', 1)]


def test_with_no_policy_service_nothing_passes_unredacted(tmp_path: Path) -> None:
    with start_echo_gateway(tmp_path, policy=load_policy().model_copy(update={"redact": Redact()}), keys=KEYS[:1]) as gateway:
        assert ask(gateway, CLINIC, chat(MAIL)).status_code == 200
        gateway.policy_service.stop()
        assert ask(gateway, CLINIC, chat(MAIL)).status_code == 503
        assert gateway.bodies == []
