"""How long requests may wait and how many, and what becomes of them when nobody waits any more: the real Envoy before an engine that takes its time."""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack.serving.envoy_process import gateway_before
from stack.serving.gateway import Pool
from stack.serving.keys import ApiKey, hash_key, new_key, write_keys
from stack.serving.policy import load_policy

pytestmark = pytest.mark.slow
CHAT = "/v1/chat/completions"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT, LAST = b"9\r\ndata: 1\n\n\r\n", b"0\r\n\r\n"
ANSWER_HEADERS = {
    "content-type": "application/json",
    "server": "uvicorn",
    "x-powered-by": "vllm",
    "via": "1.1 inner",
    "set-cookie": "a=b",
    "x-request-id": "chosen-by-the-engine",
    "x-stackproof-tenant": "clinic",
    "x-envoy-upstream-service-time": "5",
    "endpoint-load-metrics": "waiting=3",
    "openai-organization": "inner",
    "alt-svc": 'h3=":443"',
    "access-control-allow-origin": "*",
    "x-worker-pid": "17",
}


@dataclass
class SlowEngine:
    """Answers when `go` is set; with `begin` events come from the start. `came` and `left` count requests, and those whose connection closed first.

    With `headers` it answers at once, with these.
    """

    go: threading.Event = field(default_factory=threading.Event)
    begin: bool = False
    came: int = 0
    left: int = 0
    headers: dict[str, str] | None = None

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connection, args=(connection,), daemon=True).start()

    def _connection(self, connection: socket.socket) -> None:
        with connection:
            while head := self._read(connection):
                if b"/health" in head.split(b"\r\n")[0]:
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    continue
                self.came += 1
                if self.headers is not None:
                    lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
                    connection.sendall(f"HTTP/1.1 200 OK\r\n{lines}content-length: 2\r\n\r\n{{}}".encode())
                    continue
                if self.begin:
                    connection.sendall(HEAD + EVENT)
                while not self.go.wait(0.1):
                    if self.begin:  # a stream that moves is not silent
                        connection.sendall(EVENT)
                    if select.select([connection], [], [], 0)[0] and not connection.recv(1, socket.MSG_PEEK):
                        self.left += 1
                        return
                connection.sendall((b"" if self.begin else HEAD) + EVENT + LAST)

    def _read(self, connection: socket.socket) -> bytes:
        """A whole request; its head."""
        seen = b""
        while b"\r\n\r\n" not in seen:
            if not (more := connection.recv(65536)):
                return b""
            seen += more
        head, _, body = seen.partition(b"\r\n\r\n")
        lengths = [int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        while lengths and len(body) < lengths[0]:
            body += connection.recv(65536)
        return head


@dataclass
class Slow:
    engine: SlowEngine
    url: str
    key: str
    pool: ThreadPoolExecutor

    def ask(self, *, stream: bool = False, timeout_s: float = 20.0) -> httpx.Response:
        body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "stream": stream}
        return httpx.post(f"{self.url}{CHAT}", json=body, headers={"authorization": f"Bearer {self.key}"}, timeout=timeout_s, trust_env=False, verify=False)

    def asked(self, **how: Any) -> "Future[httpx.Response]":
        """One more request, which has been sent when this returns."""
        return self.pool.submit(self.ask, **how)


@contextmanager
def slow_engine(folder: Path, *, limits: dict[str, int] | None = None, timeouts: dict[str, float] | None = None) -> Iterator[Slow]:
    policy, key = load_policy(), new_key()
    policy = policy.model_copy(update={"limits": policy.limits.model_copy(update=limits or {}), "timeouts": policy.timeouts.model_copy(update=timeouts or {})})
    write_keys(folder / "keys.json", (ApiKey(tenant="clinic", sha256=hash_key(key)),))
    (folder / "engine.key").write_text("sp-engine")
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        engine = SlowEngine()
        threading.Thread(target=engine.serve, args=(listener,), daemon=True).start()
        stack.callback(engine.go.set)
        gateway = stack.enter_context(gateway_before((Pool(engines=(f"127.0.0.1:{listener.getsockname()[1]}",)),), policy, folder))
        pool = stack.enter_context(ThreadPoolExecutor(8))
        stack.callback(engine.go.set)
        yield Slow(engine, gateway.url, key, pool)


def wait_for(what: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_no_more_wait_than_the_queue_holds_and_who_does_not_fit_is_told_at_once(tmp_path: Path) -> None:
    with slow_engine(tmp_path, limits={"requests": 1, "pending": 1}) as slow:
        first = slow.asked()
        wait_for(lambda: slow.engine.came == 1)
        second = slow.asked()
        time.sleep(0.3)
        began = time.monotonic()
        refused = slow.ask()
        assert time.monotonic() - began < 1
        assert (refused.status_code, refused.json()["error"]["message"]) == (503, "the model is not answering, try again later")
        assert slow.engine.came == 1
        slow.engine.go.set()
        assert (first.result().status_code, second.result().status_code) == (200, 200)


def test_who_waits_in_the_queue_beyond_the_deadline_is_told_and_never_reaches_the_engine(tmp_path: Path) -> None:
    with slow_engine(tmp_path, limits={"requests": 1, "pending": 8}, timeouts={"idle_s": 1.0}) as slow:
        slow.engine.begin = True
        first = slow.asked(stream=True)
        wait_for(lambda: slow.engine.came == 1)
        began = time.monotonic()
        second = slow.ask()
        assert (second.status_code, slow.engine.came) == (504, 1)
        assert 0.8 < time.monotonic() - began < 5
        slow.engine.go.set()
        assert first.result().status_code == 200


@pytest.mark.parametrize(("limit", "stream"), [("idle_s", False), ("idle_s", True), ("response_s", False), ("response_s", True)])
def test_an_answer_that_does_not_come_in_time_is_given_up_and_the_engine_is_told(tmp_path: Path, limit: str, stream: bool) -> None:
    with slow_engine(tmp_path, timeouts={"response_s": 60.0, "idle_s": 60.0, limit: 1.0}) as slow:
        began = time.monotonic()
        answer = slow.ask(stream=stream)
        assert answer.status_code == 504
        assert answer.json()["error"] == {"message": "the model is not answering, try again later", "type": "gateway_error", "code": 504}
        assert 0.8 < time.monotonic() - began < 5
        wait_for(lambda: slow.engine.left == 1)


@pytest.mark.parametrize("begin", [False, True], ids=["before the answer", "within a stream"])
def test_a_client_that_leaves_ends_its_request_at_the_engine(tmp_path: Path, begin: bool) -> None:
    with slow_engine(tmp_path) as slow:
        slow.engine.begin = begin
        body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
        with httpx.Client(base_url=slow.url, headers={"authorization": f"Bearer {slow.key}"}, timeout=1.0, trust_env=False) as client:
            if begin:
                with client.stream("POST", CHAT, json=body) as answer:
                    assert next(answer.iter_raw())
            else:
                with pytest.raises(httpx.ReadTimeout):
                    client.post(CHAT, json=body)
        wait_for(lambda: slow.engine.left == 1, timeout_s=3)


def test_no_header_of_the_engines_answer_gets_out_but_those_that_say_what_it_is(tmp_path: Path) -> None:
    with slow_engine(tmp_path) as slow:
        slow.engine.headers = ANSWER_HEADERS
        answer = slow.ask()
        assert answer.status_code == 200
        assert set(answer.headers) <= {"content-type", "content-length", "date", "server", "x-request-id"}
        assert (answer.headers["server"], answer.headers["content-type"]) == ("stackproof", "application/json")
        assert answer.headers["x-request-id"] != "chosen-by-the-engine"
