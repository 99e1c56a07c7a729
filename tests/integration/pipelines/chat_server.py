"""A real HTTP server that answers like a chat endpoint, misbehaves on request and counts what it was asked."""

import json
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from zlib import crc32

MODEL = "tiny"
KEY = "a-key-that-must-not-leak"

Fault = Callable[[str, int], int | str | None]
"""Given a text and how often it was asked before: an HTTP status to fail with, "malformed", or None to answer."""


@dataclass
class ChatServer:
    fault: Fault = lambda _text, _before: None
    delay_s: float = 0.0
    tls: ssl.SSLContext | None = None
    asked: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    peak: int = 0
    url: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def asking(self, text: str) -> Iterator[int]:
        with self._lock:
            before = self.asked[text]
            self.asked[text] += 1
            self.in_flight += 1
            self.peak = max(self.peak, self.in_flight)
        try:
            yield before
        finally:
            with self._lock:
                self.in_flight -= 1

    @contextmanager
    def running(self) -> Iterator["ChatServer"]:  # noqa: C901  # every fault of the server stands in one place
        state = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path != "/v1/models":
                    self.reply(404, "<html>not here</html>")
                elif self.allowed():
                    self.reply(200, {"data": [{"id": MODEL}]})
                else:
                    self.reply(401, {"error": "key"})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                text = body["messages"][-1]["content"]
                with state.asking(text) as before:
                    if not self.allowed():
                        self.reply(401, {"error": "key"})
                        return
                    threading.Event().wait(state.delay_s)
                    fault = state.fault(text, before)
                    if fault == "malformed":
                        self.reply(200, '{"choices": [')
                    elif fault is not None:
                        self.reply(int(fault), {"error": "no"}, retry_after="0.05" if fault == 429 else None)
                    else:
                        self.reply(200, completion(text, body["structured_outputs"]["choice"]))

            def allowed(self) -> bool:
                return self.headers["authorization"] == f"Bearer {KEY}"

            def reply(self, status: int, body: Any, retry_after: str | None = None) -> None:
                data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                if retry_after is not None:
                    self.send_header("retry-after", retry_after)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if self.tls is not None:
            # Not in `accept`, where one client that does not trust us would end the server: each connection's thread shakes hands.
            server.socket = self.tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def completion(text: str, choices: list[str]) -> dict[str, Any]:
    """Always the same answer to the same text."""
    answer = choices[crc32(text.encode()) % len(choices)]
    return {
        "choices": [{"message": {"content": answer}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": len(text), "completion_tokens": 1},
    }
