"""Servers that misbehave below HTTP: each answer that fails is counted by class, and none of them holds the run up."""

import socket
import threading
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest

from bench import BenchError, Summary, Workload
from bench.run import RunOptions, Watching, run_workload
from stack.runtime.net import free_port
from stack.runtime.progress import Reporter

pytestmark = pytest.mark.slow

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}]}\n\n'
Behave = Callable[[socket.socket, threading.Event], None]


def trickle(connection: socket.socket, over: threading.Event) -> None:
    """Slow loris: an answer that begins well and then comes a byte at a time, for ever."""
    connection.sendall(HEAD + b"%x\r\n%b\r\n" % (len(CHUNK), CHUNK) + b"ffff\r\n")
    while not over.wait(0.05):
        connection.sendall(b"d")


def trickle_head(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not over.wait(0.05):
        connection.sendall(b"a")


def silence(connection: socket.socket, over: threading.Event) -> None:
    over.wait(30)


def not_http(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


def hang_up(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(HEAD + b"%x\r\n%b\r\n" % (len(CHUNK), CHUNK))


def bad_framing(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(HEAD + b"zz\r\nnot a chunk\r\n\r\n")
    over.wait(30)


@pytest.fixture
def serve() -> Iterator[Callable[[Behave], str]]:
    """A server that reads each request and then behaves as told, one thread a connection."""
    over = threading.Event()
    listeners = []

    def handle(connection: socket.socket, behave: Behave) -> None:
        try:
            with connection:
                while not over.is_set() and b"\r\n\r\n" in connection.recv(65536):
                    behave(connection, over)
                    if behave is not silence:
                        return
        except OSError:
            pass

    def accept(listener: socket.socket, behave: Behave) -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=handle, args=(connection, behave), daemon=True).start()

    def start(behave: Behave) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=accept, args=(listener, behave), daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    over.set()
    for listener in listeners:
        listener.close()


def run(url: str, out: Path) -> Summary:
    workload = Workload.model_validate(
        {
            "name": "bad",
            "model": "mock",
            "arrivals": {"kind": "concurrency", "streams": 2},
            "prompts": {"kind": "text", "text": "hello", "max_tokens": 4},
            "stop": {"requests": 4},
            "timeout_s": 0.6,
        }
    )
    return run_workload(workload, url=url, out=out, reporter=Reporter(StringIO()), options=RunOptions(watching=Watching(on=False), report=False))


@pytest.mark.parametrize(
    ("behave", "failure"),
    [
        (trickle, "timeout"),
        (trickle_head, "timeout"),
        (silence, "timeout"),
        (not_http, "malformed"),
        (hang_up, "truncated"),
        (bad_framing, "malformed"),
    ],
)
def test_an_answer_that_goes_wrong_is_counted_and_holds_nothing_up(serve: Callable[[Behave], str], tmp_path: Path, behave: Behave, failure: str) -> None:
    summary = run(serve(behave), tmp_path)
    assert summary.requests.by_class == {failure: 4}
    assert not summary.valid
    assert summary.with_failures.ttft_ms.p50 is None


def test_nobody_listening_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="cannot connect"):
        run(f"http://127.0.0.1:{free_port()}", tmp_path)
