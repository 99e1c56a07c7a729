"""The real engine behind the real gateway, as a client and as an intruder sees it."""

import asyncio
import itertools
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest
from gateway_kit import raw_request, status_of

from stack.serving.chat import ChatClient, read_key
from stack.serving.session import Session

pytestmark = pytest.mark.slow
QUESTION = [{"role": "user", "content": "What is the capital of Kenya?"}]
ROUTE = re.compile(r"Route: (\S+), Methods: (.+)$", re.MULTILINE)
KNOWN_ENTRANCES = (
    "/invocations",
    "/tokenize",
    "/detokenize",
    "/pause",
    "/resume",
    "/sleep",
    "/wake_up",
    "/metrics",
    "/health",
    "/version",
    "/load",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/load_lora_adapter",
    "/inference/v1/generate",
    "/collective_rpc",
    "/update_weights",
    "/docs",
    "/openapi.json",
)
PATHS_AROUND = (
    "//v1/models",
    "/v1//models",
    "/v1/models/",
    "/v1/models/.",
    "/v1/./models",
    "/v1/x/../models",
    "/v1/models/..%2f..%2fmetrics",
    "/v1/models%2f..%2f..%2fmetrics",
    "/v1/models/../../metrics",
    "/v1%2fmodels",
    "/v1%5cmodels",
    "/v1\\models",
    "/%76%31/models",
    "/v1/models;x=1",
    "/v1/models%00",
    "/V1/MODELS",
    "/v1/models%20",
    "/.//metrics",
    "/%2e/metrics",
    "/healthz/../metrics",
)


def client(served: Session, *, key: str | None = None) -> httpx.Client:
    own = key if key is not None else read_key(served.api_key_file)
    return httpx.Client(base_url=served.gateway_url, headers={"authorization": f"Bearer {own}"}, timeout=60, trust_env=False)


def engine_requests(served: Session) -> int:
    """How many requests the engine has logged."""
    return (served.run_dir / "engine.log").read_text(errors="replace").count(' HTTP/1.1" ')


def test_without_a_key_nothing_is_answered(served: Session) -> None:
    for headers in ({}, {"authorization": "Bearer sp-wrong"}, {"authorization": "Basic eDp5"}):
        answer = httpx.post(f"{served.gateway_url}/v1/chat/completions", json={"model": served.model, "messages": QUESTION}, headers=headers, verify=False)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json() == {"error": {"message": "missing or wrong API key", "type": "gateway_error", "code": 401}}


def test_with_the_key_the_model_answers(served: Session) -> None:
    async def ask() -> str:
        async with ChatClient(served.gateway_url, served.model, read_key(served.api_key_file)) as chat:
            return (await chat.complete(QUESTION, max_tokens=16)).text

    assert "Nairobi" in asyncio.run(ask())


def test_the_text_api_of_the_policy_works_as_it_is_documented(served: Session) -> None:
    with client(served) as http:
        assert http.get("/v1/models").json()["data"][0]["id"] == served.model
        completion = http.post("/v1/completions", json={"model": served.model, "prompt": "One, two,", "max_tokens": 4}).json()
        assert completion["usage"]["completion_tokens"] == 4
        choice = {"model": served.model, "messages": QUESTION, "structured_outputs": {"choice": ["yes", "no"]}}
        assert http.post("/v1/chat/completions", json=choice).json()["choices"][0]["message"]["content"] in {"yes", "no"}
    assert httpx.get(f"{served.gateway_url}/healthz", verify=False).status_code == 200


def test_the_list_of_models_does_not_tell_where_they_lie(served: Session) -> None:
    with client(served) as http:
        assert "/" not in http.get("/v1/models").json()["data"][0]["root"]


def test_a_stream_arrives_as_it_is_made(served: Session) -> None:
    body = {"model": served.model, "messages": QUESTION, "max_tokens": 48, "ignore_eos": True, "stream": True, "temperature": 0}
    started = time.monotonic()
    with client(served) as http, http.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = (json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: {"))
        arrivals = [time.monotonic() - started for event in events if event["choices"][0]["delta"].get("content")]
    assert len(arrivals) > 20
    gaps = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
    assert arrivals[0] < arrivals[-1] / 2, "the first token came late: something holds the stream back"
    # On a busy machine this client reads several at a time: what is held back would come at once.
    assert sum(gap > 0.001 for gap in gaps) >= 5, "tokens came in one lump"


def test_the_engine_gives_up_what_nobody_waits_for(served: Session) -> None:
    def running() -> float:
        text = httpx.get(f"{served.engine_url}/metrics", timeout=10, trust_env=False, verify=False).text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith("vllm:num_requests_running"))

    def wait_for(what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 15
        while not what():
            assert time.monotonic() < deadline, "the engine goes on for nobody, or never began"
            time.sleep(0.1)

    body = {"model": served.model, "messages": QUESTION, "max_tokens": 4000, "min_tokens": 4000, "ignore_eos": True, "stream": True}
    with client(served) as own, own.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200
        lines = answer.iter_lines()  # kept: without it the connection is closed
        next(lines)
        wait_for(lambda: running() == 1)
    wait_for(lambda: running() == 0)  # all of it would take minutes


def test_every_route_of_the_engine_but_the_allowed_is_404_at_the_gateway(served: Session) -> None:
    assert served.policy is not None
    allowed = {(route.method, route.path) for route in served.policy.routes}
    log = (served.run_dir / "engine.log").read_text(errors="replace")
    routes = {(method, path.replace("{", "x").replace("}", "x")) for path, methods in ROUTE.findall(log) for method in methods.split(", ")}
    routes |= {(method, path) for path in KNOWN_ENTRANCES for method in ("GET", "POST")}
    assert len(routes) > 50
    before = engine_requests(served)
    with client(served) as http:
        answers = {route: http.request(*route, content=b"{}").status_code for route in sorted(routes - allowed)}
    assert set(answers.values()) == {404}, answers
    assert engine_requests(served) == before


@pytest.mark.parametrize("path", PATHS_AROUND)
def test_no_spelling_of_a_path_gets_around_the_list(served: Session, path: str) -> None:
    before = engine_requests(served)
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {read_key(served.api_key_file)}\r\n\r\n"
    assert status_of(raw_request(served.gateway_url, head.encode())) in {400, 404}
    assert engine_requests(served) == before


def test_a_dangerous_field_is_refused_by_name_before_the_engine(served: Session) -> None:
    before = engine_requests(served)
    with client(served) as http:
        for field in ("chat_template", "mm_processor_kwargs", "prompt_embeds", "media_io_kwargs"):
            answer = http.post("/v1/chat/completions", json={"model": served.model, "messages": QUESTION, field: "x"})
            assert answer.status_code == 400
            assert answer.json()["error"]["message"] == f"field `{field}`: not accepted by this gateway"
    assert engine_requests(served) == before


def test_the_engine_itself_refuses_whoever_lacks_its_own_key(served: Session) -> None:
    body = {"model": served.model, "messages": QUESTION, "max_tokens": 1}
    for headers in ({}, {"authorization": f"Bearer {read_key(served.api_key_file)}"}):
        assert httpx.post(f"{served.engine_url}/v1/chat/completions", json=body, headers=headers, verify=False).status_code == 401
    with client(served, key=read_key(served.engine_key_file)) as http:
        assert http.post("/v1/chat/completions", json=body).status_code == 401


def test_everything_listens_on_loopback_only(served: Session) -> None:
    own = {pid for child in served.children for pid in child.pids()}
    listening = {
        connection.laddr.ip for pid in own for connection in psutil.Process(pid).net_connections(kind="inet") if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_keys_are_only_in_their_own_files(served: Session) -> None:
    keys = [key for key in (read_key(served.api_key_file), read_key(served.engine_key_file)) if key]
    assert len(set(keys)) == 2
    for path in (served.api_key_file, served.engine_key_file):
        assert path.stat().st_mode & 0o777 == 0o600
    assert served.run_dir.stat().st_mode & 0o777 == 0o700
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = command.read_bytes().decode(errors="replace")
        except OSError:
            continue
        assert not any(key in line for key in keys), command
    others = [path for path in served.run_dir.rglob("*") if path.is_file() and path not in {served.api_key_file, served.engine_key_file}]
    assert {"engine.log", "gateway.log", "policy.log", "access.log", "envoy.yaml", "keys.json", "plan.json"} <= {path.name for path in others}
    for path in others:
        assert not any(key in path.read_text(errors="replace") for key in keys), path


def test_the_plans_arithmetic_agrees_with_the_engines_own_count(served: Session) -> None:
    log = (served.run_dir / "engine.log").read_text(errors="replace")
    reported = re.findall(r"KV cache size: ([\d,]+) tokens", log)
    assert int(reported[-1].replace(",", "")) == served.plan.memory.kv_tokens
    assert served.memory_bytes()["engine"] < served.plan.memory.needed_bytes
