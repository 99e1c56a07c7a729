"""A chat server that knows the truth: it streams at set times and logs when it really wrote each chunk.

    python -m bench.mock --port 8001 --ttft-ms 100 --token-interval-ms 10 --log truth.jsonl

It generates nothing and measures nothing of a real stack: it is the reference against which the load generator is checked.
One line of the log per answer: `request_id` (the client's X-Request-Id), `received_ns`, `emitted_ns` of each content chunk and
`closed_ns`, on the machine's monotonic clock. `GET /health`, `/v1/models`, `/metrics` and `POST /reset_prefix_cache` are vLLM's. A
request that does not ask for a stream is answered at once. Some options make it cheat as a server might, for the audits to catch.
"""

import argparse
import asyncio
import heapq
import json
import random
import ssl
import sys
import time
from collections import deque
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import TextIO, cast

import httptools
import uvloop

from bench.load.timer import Timer
from bench.mock.engine_metrics import EngineMetrics

FAULTS = ("none", "die", "garbage", "stall", "not-streaming", "no-usage", "text-after-finish")
SAY = ("tok", "prompt")
DEFAULT_TOKENS = 16


@dataclass(frozen=True)
class MockConfig:
    """How it answers. Times count from the moment the whole request was read."""

    ttft_ms: float = field(default=20.0, metadata={"help": "time to the first content chunk"})
    token_interval_ms: float = field(default=5.0, metadata={"help": "time per token after it"})
    tokens_per_chunk: int = field(default=1, metadata={"help": "tokens in each content chunk"})
    reasoning_share: float = field(default=0.0, metadata={"help": "leading share of the chunks that is reasoning"})
    late_ms: float = field(default=0.0, metadata={"help": "delay of finish, usage and [DONE] after the last content"})
    freeze_every_s: float = field(default=0.0, metadata={"help": "freeze the whole server at the end of each such period; 0: never"})
    freeze_s: float = field(default=1.5, metadata={"help": "length of a freeze"})
    role_first: bool = field(default=False, metadata={"help": "send a chunk with only the role at once"})
    max_running: int = field(default=0, metadata={"help": "answer at most so many at once, first come first served; 0: all"})
    fault: str = field(default="none", metadata={"help": "go wrong half-way through each answer, or in the answer's form"})
    say: str = field(default="tok", metadata={"help": "the same word again and again, or the prompt's last word and then words that follow from the prompt"})
    cache_repeats: bool = field(default=False, metadata={"help": "cheat: no --ttft-ms for a prompt that was asked before"})
    miscount: int = field(default=0, metadata={"help": "cheat: so many more tokens in the usage block than were sent"})
    short_under_load: bool = field(default=False, metadata={"help": "cheat: half of the tokens while other answers are running"})
    api_key: str = field(default="", repr=False, metadata={"help": ""})


class Answer:
    """One answer being streamed: chunks left to write and when each is due."""

    __slots__ = ("cached", "chunks", "connection", "due_ns", "emitted_ns", "emitting", "received_ns", "request_id", "tail", "tokens")

    def __init__(self, connection: "MockConnection", request_id: str, received_ns: int, chunks: tuple[bytes, ...], tail: bytes, tokens: int) -> None:
        self.connection = connection
        self.request_id = request_id
        self.received_ns = received_ns
        self.chunks = chunks
        self.tail = tail
        self.tokens = tokens
        self.cached = False
        self.emitting = 0
        self.emitted_ns: list[int] = []
        self.due_ns = 0


class MockServer:
    """Writes every chunk of every answer when it is due, in one loop."""

    def __init__(self, config: MockConfig, log: TextIO | None) -> None:
        self.config = config
        self._log = log
        self._queue: list[tuple[int, int, Answer]] = []
        self._order = 0
        self._running = 0
        self._waiting: deque[Answer] = deque()
        self.metrics = EngineMetrics(running=lambda: self._running, waiting=lambda: len(self._waiting))
        self._seen: set[int] = set()
        self._timer = Timer(self._emit_due)
        self._loop = asyncio.get_running_loop()
        if config.freeze_every_s:
            self._loop.call_later(config.freeze_every_s - config.freeze_s, self._freeze)

    @property
    def busy(self) -> bool:
        return self._running > 0

    def remembers(self, prompt: str) -> bool:
        """Whether it was asked before; it is remembered from now on."""
        known = hash(prompt) in self._seen
        self._seen.add(hash(prompt))
        return known

    def begin(self, answer: Answer) -> None:
        """Queue the first chunk of an answer, or the whole of it while as many as may are running."""
        if self.config.max_running and self._running >= self.config.max_running:
            self._waiting.append(answer)
            return
        self._start(answer, answer.received_ns)
        if self._queue[0][2] is answer:
            self._timer.arm(answer.due_ns)

    def _start(self, answer: Answer, at_ns: int) -> None:
        self._running += 1
        self._queue_next(answer, at_ns + (0 if answer.cached else round(self.config.ttft_ms * 1e6)))

    def _ended(self, due_ns: int) -> None:
        """Its place is free from when it was due, not from when we came to it: a busy machine does not lower the capacity."""
        self._running -= 1
        while self._waiting:
            waiting = self._waiting.popleft()
            if waiting.connection.open:
                self._start(waiting, max(due_ns, waiting.received_ns))
                return

    def _queue_next(self, answer: Answer, due_ns: int) -> None:
        answer.due_ns = due_ns
        self._order += 1
        heapq.heappush(self._queue, (due_ns, self._order, answer))

    def _emit_due(self) -> None:
        queue, interval_ns = self._queue, round(self.config.token_interval_ms * self.config.tokens_per_chunk * 1e6)
        while queue and queue[0][0] <= time.monotonic_ns():
            answer = heapq.heappop(queue)[2]
            if not answer.connection.open:
                self._ended(answer.due_ns)
                continue
            if answer.emitting == len(answer.chunks):
                answer.connection.write(answer.tail)
                self._close(answer)
                self._ended(answer.due_ns)
                continue
            # Stamped before the write, which wakes the reader: the client can never see a chunk before its stamp.
            answer.emitted_ns.append(time.monotonic_ns())
            answer.connection.write(answer.chunks[answer.emitting])
            answer.emitting += 1
            if answer.emitting < len(answer.chunks):
                self._queue_next(answer, answer.due_ns + interval_ns)
            elif self.config.fault == "die":
                answer.connection.abort()
                self._ended(answer.due_ns)
            elif self.config.fault != "stall":
                self._queue_next(answer, answer.due_ns + round(self.config.late_ms * 1e6))
        if queue:
            self._timer.arm(queue[0][0])

    def _close(self, answer: Answer) -> None:
        self.metrics.answered(received_ns=answer.received_ns, emitted_ns=answer.emitted_ns, tokens=answer.tokens)
        if self._log is not None:
            line = {"request_id": answer.request_id, "received_ns": answer.received_ns, "emitted_ns": answer.emitted_ns, "closed_ns": time.monotonic_ns()}
            self._log.write(json.dumps(line, separators=(",", ":")) + "\n")
        answer.connection.answered()

    def _freeze(self) -> None:
        time.sleep(self.config.freeze_s)
        self._loop.call_later(self.config.freeze_every_s - self.config.freeze_s, self._freeze)


class MockConnection(asyncio.Protocol):
    """Reads requests one after another and hands them to the server."""

    def __init__(self, server: MockServer) -> None:
        self._server = server
        self._config = server.config
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._body = bytearray()
        self._url = b""

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def write(self, data: bytes) -> None:
        cast(asyncio.Transport, self._transport).write(data)

    def abort(self) -> None:
        cast(asyncio.Transport, self._transport).abort()

    def answered(self) -> None:
        """The answer is out: a connection not to be kept is closed."""
        if not self._parser.should_keep_alive():
            cast(asyncio.Transport, self._transport).close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=0)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()

    def on_message_begin(self) -> None:
        self._headers.clear()
        self._body.clear()
        self._url = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._body += body

    def _page(self) -> bytes | None:
        """vLLM's routes beside the chat, which need no key here; None for another."""
        match self._url:
            case b"/health":
                return _response(b"200 OK", b"text/plain", b"")
            case b"/v1/models":  # it answers to any name, but routers ask for one
                return _plain(b"200 OK", {"object": "list", "data": [{"id": "mock", "object": "model", "created": 0, "owned_by": "vllm"}]})
            case b"/metrics":
                return _response(b"200 OK", b"text/plain; version=0.0.4; charset=utf-8", self._server.metrics.page())
            case b"/reset_prefix_cache":
                self._server.metrics.cache.reset()
                return _plain(b"200 OK", {"success": True})
        return None

    def on_message_complete(self) -> None:
        received_ns = time.monotonic_ns()
        config = self._config
        page = self._page()
        if page is not None:
            self.write(page)
            return
        if config.api_key and self._headers.get(b"authorization") != b"Bearer " + config.api_key.encode():
            self.write(_plain(b"401 Unauthorized", {"error": {"message": "no valid key", "code": 401}}))
            return
        try:
            request = json.loads(self._body)
            prompt = " ".join(str(message["content"]) for message in request["messages"])
            tokens = int(request.get("max_tokens") or DEFAULT_TOKENS)
        except (ValueError, KeyError, TypeError):
            self.write(_plain(b"400 Bad Request", {"error": {"message": "not a chat request", "code": 400}}))
            return
        words = prompt.split()
        self._server.metrics.received(words)
        if config.short_under_load and self._server.busy:
            tokens = max(1, tokens // 2)
        counted = tokens + config.miscount
        usage = {"prompt_tokens": len(words), "completion_tokens": counted, "total_tokens": len(words) + counted}
        said = _said(prompt, tokens) if config.say == "prompt" else ()
        if config.fault == "not-streaming" or not request.get("stream"):
            message = {"role": "assistant", "content": "".join(said) or " tok" * tokens}
            self.write(_plain(b"200 OK", {"choices": [{"index": 0, "message": message, "finish_reason": "length"}], "usage": usage}))
            return
        self.write(_HEAD + (_ROLE if config.role_first else b""))
        late = _content(" late") if config.fault == "text-after-finish" else b""
        tail = _FINISH + late + (b"" if config.fault == "no-usage" else _event({"choices": [], "usage": usage})) + _DONE
        request_id = self._headers.get(b"x-request-id", b"").decode("latin-1")
        answer = Answer(self, request_id, received_ns, _chunks(config, tokens, said), tail, tokens)
        answer.cached = config.cache_repeats and self._server.remembers(prompt)
        self._server.begin(answer)


@lru_cache(maxsize=64)
def _chunks(config: MockConfig, tokens: int, said: tuple[str, ...]) -> tuple[bytes, ...]:
    """The content chunks of an answer, encoded once: the server's own cost must stay small. Faults strike after half of them."""
    words = said or (" tok",) * tokens
    texts = ["".join(words[start : start + config.tokens_per_chunk]) for start in range(0, tokens, config.tokens_per_chunk)]
    reasoning = round(len(texts) * config.reasoning_share)
    chunks = [_content(text, reasoning=place < reasoning) for place, text in enumerate(texts)]
    if config.fault in ("die", "stall"):
        return tuple(chunks[: max(1, len(chunks) // 2)])
    if config.fault == "garbage":
        chunks[len(chunks) // 2] = _chunked(b'data: {"choices": [ garbage\n\n')
    return tuple(chunks)


def _said(prompt: str, tokens: int) -> tuple[str, ...]:
    """The prompt's last word, and then words that follow from the whole of it."""
    follow = random.Random(prompt)  # noqa: S311  # guards nothing
    return (prompt.rsplit(maxsplit=1)[-1] if prompt.split() else "", *(f" w{follow.randrange(4096):03x}" for _ in range(tokens - 1)))


def _content(text: str, *, reasoning: bool = False) -> bytes:
    delta = {"reasoning_content" if reasoning else "content": text}
    return _event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(content: dict[str, object]) -> bytes:
    chunk = {"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 0, "model": "mock", **content}
    return _chunked(b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n")


def _plain(status: bytes, body: dict[str, object]) -> bytes:
    return _response(status, b"application/json", json.dumps(body).encode())


def _response(status: bytes, content_type: bytes, data: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (status, content_type, len(data), data)


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
_ROLE = _event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
_FINISH = _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
_DONE = _chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n"


async def serve(config: MockConfig, *, host: str, port: int, log: TextIO | None, tls: ssl.SSLContext | None) -> None:
    """Serve until cancelled; one line on stdout says where, once it listens."""
    mock = MockServer(config, log)
    server = await asyncio.get_running_loop().create_server(lambda: MockConnection(mock), host, port, backlog=4096, ssl=tls)
    sys.stdout.write(f"listening on {'https' if tls else 'http'}://{host}:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.mock", description="A chat server that streams at set times and logs when it really did.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one; it is printed")
    parser.add_argument("--log", type=Path, help="append the truth here, one JSON line an answer")
    parser.add_argument("--api-key-file", type=Path, help="answer 401 to requests without this key")
    parser.add_argument("--tls-cert", type=Path, help="PEM file with certificate and key: serve https")
    for option in fields(MockConfig):
        flag, default, text = "--" + option.name.replace("_", "-"), option.default, option.metadata["help"]
        if isinstance(default, bool):
            parser.add_argument(flag, action="store_true", help=text)
        elif option.name in ("fault", "say"):
            parser.add_argument(flag, choices=FAULTS if option.name == "fault" else SAY, default=default, help=text)
        elif option.name != "api_key":
            parser.add_argument(flag, type=type(default), default=default, help=f"{text} (default {default})")
    arguments = parser.parse_args()
    chosen = {option.name: getattr(arguments, option.name) for option in fields(MockConfig) if option.name != "api_key"}
    config = MockConfig(**chosen, api_key=arguments.api_key_file.read_text().strip() if arguments.api_key_file else "")
    log = arguments.log.open("a", buffering=1) if arguments.log else None
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if arguments.tls_cert else None
    if tls is not None:
        tls.load_cert_chain(arguments.tls_cert)
    try:
        uvloop.run(serve(config, host=arguments.host, port=arguments.port, log=log, tls=tls))
    except KeyboardInterrupt:
        pass
    finally:
        if log is not None:
            log.close()
