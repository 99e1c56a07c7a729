"""Raw requests, and the real gateway before a server that tells what reached it.

Tests ask it over plain HTTP with `verify=False`: httpx would read the system's authorities first, 28 ms for each request.
"""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stack.runtime.process import Child
from stack.serving.envoy_process import gateway_before
from stack.serving.gateway import Pool
from stack.serving.keys import ApiKey, hash_key, new_key, write_keys
from stack.serving.policy import GatewayPolicy, load_policy

ENGINE_KEY = "sp-key-of-the-engine"
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
STREAM_WORDS = ("one ", "two ", '\\"usage\\":{\\"prompt_tokens\\":900}', "\n\n", "end")
"""Among them a text that looks like a usage block, and one like the end of an event."""


def raw_request(url: str, request: bytes, *, timeout_s: float = 10.0) -> bytes:
    """Send bytes as they are, which no HTTP library would, and return what comes back until the connection is closed or silent."""
    place = urlsplit(url)
    answer = b""
    with socket.create_connection((place.hostname, place.port), timeout=timeout_s) as connection:
        connection.sendall(request)
        connection.settimeout(timeout_s)
        try:
            while not _complete(answer) and (chunk := connection.recv(65536)):
                answer += chunk
        except (TimeoutError, ConnectionResetError):
            pass
    return answer


def status_of(answer: bytes) -> int:
    """0 when the connection was closed without an answer."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


def _complete(answer: bytes) -> bool:
    head, found, body = answer.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(found and lengths) and len(body) >= int(lengths[0].split(b":")[1])


@dataclass(frozen=True)
class EchoGateway:
    """The real gateway before a server that answers with what reached it.

    `bodies` are the request bodies that reached it; `go` may be cleared to let answers wait.
    """

    url: str
    key: str
    reached: list[dict[str, str]]
    bodies: list[bytes]
    go: threading.Event
    keys_file: Path
    policy_service: Child
    access_log: Path
    admin: Path


@contextmanager
def start_echo_gateway(folder: Path, *, policy: GatewayPolicy | None = None, keys: tuple[ApiKey, ...] = ()) -> Iterator[EchoGateway]:
    """A POST is answered with what reached it and a usage block of 7 + 5 tokens, or with five events when it asks for a stream.

    A `seed` is taken for the status of an answer without a usage block.
    """
    reached: list[dict[str, str]] = []
    bodies: list[bytes] = []
    go = threading.Event()
    go.set()

    class Echo(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are written apart: the body would wait 40 ms for the head's receipt

        def _answer(self) -> None:
            sent = self._chunks() if "transfer-encoding" in self.headers else self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.headers.get("user-agent") == "Envoy/HC":
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()
                return
            reached.append({":method": self.command, ":path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
            bodies.append(sent)
            go.wait(timeout=20)
            asked = json.loads(sent) if sent else {}
            if asked.get("stream"):
                self._stream(asked)
                return
            body = json.dumps({**reached[-1], **({"usage": USAGE} if sent and "seed" not in asked else {})}, separators=(",", ":")).encode()
            self.send_response(asked.get("seed") or 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _chunks(self) -> bytes:
            sent = b""
            while length := int(self.rfile.readline(), 16):
                sent += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
            return sent

        def _stream(self, asked: dict[str, Any]) -> None:
            events: list[str] = [json.dumps({"choices": [{"delta": {"content": word}}]}, separators=(",", ":")) for word in STREAM_WORDS]
            if (asked.get("stream_options") or {}).get("include_usage"):
                events.append(json.dumps({"choices": [], "usage": USAGE}, separators=(",", ":")))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for event in (*events, "[DONE]"):
                text = f"data: {event}\n\n".encode()
                self.wfile.write(f"{len(text):x}\r\n".encode() + text + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")

        do_GET = do_POST = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    policy, key = policy or load_policy(), new_key()
    policy = policy.model_copy(update={"timeouts": policy.timeouts.model_copy(update={"headers_s": 1.0, "request_s": 1.0})})
    write_keys(folder / "keys.json", keys or (ApiKey(tenant="clinic", sha256=hash_key(key)),))
    (folder / "engine.key").write_text(ENGINE_KEY)
    with ExitStack() as stack:
        engine = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Echo))
        threading.Thread(target=engine.serve_forever, args=(0.05,), daemon=True).start()
        stack.callback(engine.shutdown)
        gateway = stack.enter_context(gateway_before((Pool(engines=(f"127.0.0.1:{engine.server_port}",)),), policy, folder))
        access_log = folder / "access.log"
        yield EchoGateway(gateway.url, key, reached, bodies, go, folder / "keys.json", gateway.policy_service, access_log, gateway.admin)
