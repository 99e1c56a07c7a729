"""Asks single requests, streamed or whole (edge)."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import ValidationError

from bench.audits.models import AskedAnswer
from bench.audits.protocol import AskPhase
from bench.errors import BenchError
from bench.load.endpoint import CHAT_PATH
from bench.quality.server import Server
from bench.results.chat import read_chunk
from bench.results.sse import SseParser
from stack.runtime.errors import describe_validation
from stack.runtime.files import write_atomic
from stack.runtime.progress import Step
from stack.serving.chat import ChatClient, ChatFailedError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TIMEOUT_S = 300.0
ERROR_LENGTH = 200


def ask(phase: AskPhase, server: Server, *, tokenizer: "Tokenizer | None", step: Step) -> tuple[AskedAnswer, ...]:
    """An answer for each body, failed ones included, in the order of their numbers."""
    step.total = len(phase.bodies)
    answers = asyncio.run(_ask(phase, server, step))
    if tokenizer is None:
        return answers
    count = _counter(tokenizer)
    return tuple(answer.model_copy(update=count(answer.text)) if answer.ok else answer for answer in answers)


def write_answers(path: Path, answers: tuple[AskedAnswer, ...]) -> None:
    write_atomic(path, "".join(answer.model_dump_json() + "\n" for answer in answers))


def read_answers(path: Path) -> tuple[AskedAnswer, ...]:
    """BenchError when the file holds something else."""
    try:
        return tuple(AskedAnswer.model_validate(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines())
    except ValidationError as error:
        raise BenchError(describe_validation(error, source=path.name)) from None
    except (OSError, ValueError) as error:
        raise BenchError(f"{path.name}: not the answers of an audit: {' '.join(str(error).split())}") from None


async def _ask(phase: AskPhase, server: Server, step: Step) -> tuple[AskedAnswer, ...]:
    client = server.client(concurrency=phase.concurrency, timeout_s=TIMEOUT_S)
    slots = asyncio.Semaphore(phase.concurrency)
    headers = {"authorization": f"Bearer {server.api_key}"} if server.api_key else {}
    streams = httpx.AsyncClient(base_url=server.base_url, headers=headers, timeout=TIMEOUT_S, verify=client.tls or True, trust_env=False)

    async def one(index: int, body: dict[str, Any]) -> AskedAnswer:
        async with slots:
            answer = await (_streamed(streams, index, body) if phase.stream else _whole(client, index, body))
        step.advance()
        return answer

    async with client, streams:
        return tuple(await asyncio.gather(*(one(index, phase.bodies[index]) for index in sorted(phase.bodies))))


async def _whole(client: ChatClient, index: int, body: dict[str, Any]) -> AskedAnswer:
    asked = AskedAnswer(index=index, max_tokens=body["max_tokens"])
    try:
        reply = await client.ask(body)
    except ChatFailedError as error:
        return asked.model_copy(update={"error": str(error)[:ERROR_LENGTH]})
    return asked.model_copy(
        update={"pieces": (reply.text,) if reply.text else (), "finish_reason": reply.finish_reason, "completion_tokens": reply.completion_tokens}
    )


async def _streamed(http: httpx.AsyncClient, index: int, body: dict[str, Any]) -> AskedAnswer:
    asked = AskedAnswer(index=index, max_tokens=body["max_tokens"])
    reading, events = _Reading(), SseParser()
    try:
        async with http.stream("POST", f"/v1{CHAT_PATH}", json={**body, "stream": True, "stream_options": {"include_usage": True}}) as response:
            if response.status_code != httpx.codes.OK:
                detail = (await response.aread()).decode(errors="replace")
                return asked.model_copy(update={"error": f"http_{response.status_code}: {detail}"[:ERROR_LENGTH]})
            async for piece in response.aiter_bytes():
                for data in events.feed(piece):
                    reading.event(data)
    except httpx.HTTPError as error:
        return asked.model_copy(update={"error": f"{type(error).__name__}: {error}"[:ERROR_LENGTH]})
    except ValueError as error:
        return asked.model_copy(update={"error": f"malformed: {error}"[:ERROR_LENGTH]})
    if reading.finish_reason is None:
        return asked.model_copy(update={"error": "the stream ended without a finish reason"})
    return asked.model_copy(
        update={
            "pieces": tuple(reading.pieces),
            "hidden_events": reading.hidden,
            "after_finish": "".join(reading.late),
            "finish_reason": reading.finish_reason,
            "completion_tokens": reading.completion_tokens,
        }
    )


@dataclass
class _Reading:
    """Collects the events of one stream."""

    pieces: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    hidden: int = 0
    finish_reason: str | None = None
    completion_tokens: int | None = None

    def event(self, data: bytes) -> None:
        """ValueError for what is no chat chunk, or tells an error."""
        if data == b"[DONE]":
            return
        chunk = read_chunk(data)
        if chunk.error is not None:
            raise ValueError(f"the server broke off: {chunk.error}")
        if chunk.usage is not None:
            self.completion_tokens = chunk.usage.completion_tokens
        for choice in chunk.choices or ():
            finished = self.finish_reason is not None
            text = (choice.delta.content or choice.delta.refusal or "") if choice.delta is not None else ""
            hidden = choice.delta is not None and bool(choice.delta.reasoning_content or choice.delta.reasoning or choice.delta.tool_calls)
            if text:
                (self.late if finished else self.pieces).append(text)
            elif hidden:
                self.hidden += 1
            self.finish_reason = choice.finish_reason or self.finish_reason


def _counter(tokenizer: "Tokenizer") -> Callable[[str], dict[str, int]]:
    """Tokens of a text, and special tokens inside it but for one at its end."""
    special = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]

    def marks(text: str) -> Iterator[int]:
        for mark in special:
            yield text.removesuffix(mark).count(mark)

    def count(text: str) -> dict[str, int]:
        return {"text_tokens": len(tokenizer.encode(text, add_special_tokens=False).ids), "end_marks": sum(marks(text))}

    return count
