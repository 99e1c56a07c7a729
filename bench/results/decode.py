"""From the raw bytes of one exchange to what happened in it (logic): HTTP, then events, then chat chunks."""

import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

import httptools

from bench.load.exchange import Outcome
from bench.load.spool import RawExchange
from bench.results.sse import SseParser

EVENT_STREAM = "text/event-stream"
OK = "ok"
DETAIL_LENGTH = 200

_BY_OUTCOME = {
    Outcome.REFUSED: "refused",
    Outcome.TIMEOUT: "timeout",
    Outcome.CLOSED_EARLY: "truncated",
    Outcome.NOT_HTTP: "malformed",
    Outcome.CANCELLED: "cancelled",
}


@dataclass(frozen=True)
class Delta:
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


def decode(raw: RawExchange, *, keep_text: bool = False) -> Answer:
    """Read an exchange; never raises on what a server sent."""
    response = _Response()
    chat = _ChatStream(said=Said() if keep_text else None)
    for t_ns, data in raw.reads:
        pieces = response.feed(data)
        if response.streams:
            for piece in pieces:
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


def _classify(raw: RawExchange, response: "_Response", chat: "_ChatStream") -> tuple[str, str]:
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


@dataclass
class _Response:
    """Collects what httptools finds: status, headers, body pieces."""

    status: int | None = None
    headers: dict[bytes, bytes] = field(default_factory=dict)
    text: str = ""
    _pieces: list[bytes] = field(default_factory=list)
    _parser: Any = field(init=False)

    def __post_init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> list[bytes]:
        """The body pieces in one read; a parse error ends the body there (the connection has recorded it)."""
        self._pieces = []
        with contextlib.suppress(httptools.HttpParserError):
            self._parser.feed_data(data)
        if not self.streams and len(self.text) < DETAIL_LENGTH:
            self.text += b"".join(self._pieces).decode(errors="replace")
        return self._pieces

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
        else:
            self.headers.clear()

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    @property
    def content_type(self) -> str:
        return self.headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()

    @property
    def streams(self) -> bool:
        return self.status == 200 and self.content_type == EVENT_STREAM

    @property
    def ends_with_connection(self) -> bool:
        return b"content-length" not in self.headers and b"transfer-encoding" not in self.headers


@dataclass
class Said:
    """The words of an answer as they came."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)

    def add(self, delta: dict[str, Any]) -> None:
        self.text.append(delta.get("content") or delta.get("refusal") or "")
        self.reasoning.append(delta.get("reasoning_content") or delta.get("reasoning") or "")


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
            chunk = json.loads(data)
            if error := chunk.get("error"):
                self.error = str(error.get("message", error)) if isinstance(error, dict) else str(error)
                return
            running = self._usage(chunk.get("usage"))
            for choice in chunk["choices"]:
                self.finish_reason = choice.get("finish_reason") or self.finish_reason
                delta = choice.get("delta") or {}
                lengths = content_lengths(delta)
                if not lengths:
                    self.empty_choices_ns.append(t_ns)
                    continue
                self.deltas.append(Delta(t_ns, next(iter(lengths)), sum(lengths.values()), running))
                if self.said is not None:
                    self.said.add(delta)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.fault = f"not a chat chunk: {data[:100].decode(errors='replace')}"

    def _usage(self, usage: dict[str, Any] | None) -> int | None:
        if usage is None:
            return None
        self.prompt_tokens, self.completion_tokens = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
        return self.completion_tokens


def content_lengths(delta: dict[str, Any]) -> dict[str, int]:
    """Characters of content in a delta by kind, what a reader sees before what the model thinks; kinds without any are left out."""
    functions = [call.get("function") or {} for call in delta.get("tool_calls") or ()]
    found = {
        "text": len(delta.get("content") or ""),
        "refusal": len(delta.get("refusal") or ""),
        "tool_call": sum(len(function.get("name") or "") + len(function.get("arguments") or "") for function in functions),
        "reasoning": len(delta.get("reasoning_content") or delta.get("reasoning") or ""),
    }
    return {kind: chars for kind, chars in found.items() if chars}
