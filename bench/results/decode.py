"""From the raw bytes of one exchange to what happened in it (logic): HTTP, then events, then chat chunks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import httptools

from bench.load.exchange import Outcome
from bench.results.chat import ChatDelta, content_of, read_chunk
from bench.results.sse import SseParser

EVENT_STREAM = "text/event-stream"
OK = "ok"
CLIENT_LIMIT = "client_limit"
DETAIL_LENGTH = 200

_BY_OUTCOME = {
    Outcome.REFUSED: "refused",
    Outcome.TIMEOUT: "timeout",
    Outcome.CLOSED_EARLY: "truncated",
    Outcome.NOT_HTTP: "malformed",
    Outcome.CANCELLED: "cancelled",
    Outcome.NO_FILE: CLIENT_LIMIT,
}


class Received(Protocol):
    """What a client saw of one request: how the transport left it, and what each read brought at which nanosecond."""

    @property
    def outcome(self) -> Outcome: ...
    @property
    def detail(self) -> str: ...
    @property
    def reads(self) -> Sequence[tuple[int, bytes]]: ...


class Delta(NamedTuple):
    """One event that carried content; `tokens` is the server's running count, where it sends one with each chunk."""

    t_ns: int
    kind: str
    chars: int
    tokens: int | None


@dataclass(frozen=True)
class Answer:
    """An exchange read through: its class (`ok`, refused, timeout, truncated, malformed, cancelled, http_<status>), and what was counted.

    `empty_choices_ns` are the stamps of the events that had a choice but no content (role, empty, finish). `text` and `reasoning`
    are what the model said, None unless asked for.
    """

    status: str
    detail: str
    http_status: int | None
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    deltas: tuple[Delta, ...]
    empty_choices_ns: tuple[int, ...] = ()
    text: str | None = None
    reasoning: str | None = None


def decode(raw: Received, *, keep_text: bool = False) -> Answer:
    """Read an exchange; never raises on what a server sent."""
    response = _Response()
    chat = _ChatStream(said=Said() if keep_text else None)
    for t_ns, data in raw.reads:
        for piece in response.feed(data):
            chat.feed(t_ns, piece)
    status, detail = _classify(raw, response, chat)
    return Answer(
        status=status,
        detail=detail[:DETAIL_LENGTH],
        http_status=response.status,
        finish_reason=chat.finish_reason,
        prompt_tokens=chat.prompt_tokens,
        completion_tokens=chat.completion_tokens,
        deltas=tuple(chat.deltas),
        empty_choices_ns=tuple(chat.empty_choices_ns),
        text=None if chat.said is None else "".join(chat.said.text),
        reasoning=None if chat.said is None else "".join(chat.said.reasoning),
    )


def _classify(raw: Received, response: "_Response", chat: "_ChatStream") -> tuple[str, str]:
    """The first thing that went wrong decides."""
    if response.status not in (None, 200):
        return f"http_{response.status}", response.text
    if chat.fault:
        return "malformed", chat.fault
    # Without a length or chunks, the end of the connection is the end of the body.
    if raw.outcome is not Outcome.COMPLETE and not (raw.outcome is Outcome.CLOSED_EARLY and response.ends_with_connection and chat.finished):
        return _BY_OUTCOME[raw.outcome], raw.detail
    if not response.streams:
        return "malformed", f"the endpoint does not stream: it answered {response.content_type or 'without a content type'}, not {EVENT_STREAM}"
    if chat.error or not chat.finished:
        return "truncated", f"the server broke off: {chat.error}" if chat.error else "the stream ended without [DONE] or a finish reason"
    return OK, ""


class _Response:
    """Collects what httptools finds: status, headers, body pieces."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: dict[bytes, bytes] = {}
        self.streams = False
        self.text = ""
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append
        self._parser: Any = httptools.HttpResponseParser(self)  # looks up the methods above once, now

    def feed(self, data: bytes) -> list[bytes]:
        """The pieces of an event stream in one read; a parse error ends the body there (the connection has recorded it)."""
        self._pieces.clear()
        try:  # noqa: SIM105  # contextlib.suppress would cost as much as the parsing
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            pass
        if self.streams:
            return self._pieces
        if len(self.text) < DETAIL_LENGTH:
            self.text += b"".join(self._pieces).decode(errors="replace")
        return []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
            self.streams = status == 200 and self.content_type == EVENT_STREAM
        else:
            self.headers.clear()

    @property
    def content_type(self) -> str:
        return self.headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()

    @property
    def ends_with_connection(self) -> bool:
        return b"content-length" not in self.headers and b"transfer-encoding" not in self.headers


@dataclass
class Said:
    """The words of an answer as they came."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)

    def add(self, delta: ChatDelta) -> None:
        self.text.append(delta.content or delta.refusal or "")
        self.reasoning.append(delta.reasoning_content or delta.reasoning or "")


@dataclass
class _ChatStream:
    """Reads OpenAI chat chunks. Role-only, empty, usage and finish events are not content."""

    said: Said | None
    deltas: list[Delta] = field(default_factory=list)
    empty_choices_ns: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    done: bool = False
    fault: str = ""
    error: str = ""
    _events: SseParser = field(default_factory=SseParser)

    @property
    def finished(self) -> bool:
        return self.done or self.finish_reason is not None

    def feed(self, t_ns: int, piece: bytes) -> None:
        for data in self._events.feed(piece):
            if data == b"[DONE]":
                self.done = True
            elif not self.fault:
                self._chunk(t_ns, data)

    def _chunk(self, t_ns: int, data: bytes) -> None:
        try:
            chunk = read_chunk(data)
        except (ValueError, RecursionError):
            self.fault = f"not a chat chunk: {data[:100].decode(errors='replace')}"
            return
        if chunk.error:
            self.error = str(chunk.error.get("message", chunk.error)) if isinstance(chunk.error, dict) else str(chunk.error)
            return
        running = None
        if chunk.usage is not None:
            self.prompt_tokens, self.completion_tokens = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
            running = self.completion_tokens
        for choice in chunk.choices or ():
            if choice.finish_reason:
                self.finish_reason = choice.finish_reason
            delta = choice.delta
            content = None if delta is None else content_of(delta)
            if delta is None or content is None:
                self.empty_choices_ns.append(t_ns)
                continue
            self.deltas.append(Delta(t_ns, content[0], content[1], running))
            if self.said is not None:
                self.said.add(delta)
