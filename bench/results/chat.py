"""A chat chunk of the OpenAI form, and what of it is content (models, pure functions).

Typed structs are read in one pass; fields that are not named here are skipped unread, which makes them several times quicker than
dictionaries, and a field of another type is an error rather than a surprise.
"""

from typing import Any

import msgspec

KINDS = ("text", "refusal", "tool_call", "reasoning")
"""Of content; what a reader sees comes before what the model thinks."""


class _Record(msgspec.Struct, gc=False):
    """No cycles lead through these, so the garbage collector need not follow them."""


class Function(_Record):
    name: str | None = None
    arguments: str | None = None


class ToolCall(_Record):
    function: Function | None = None


class ChatDelta(_Record):
    """`reasoning` and `reasoning_content` are two names for one thing."""

    content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class Choice(_Record):
    delta: ChatDelta | None = None
    finish_reason: str | None = None


class Usage(_Record):
    prompt_tokens: int
    completion_tokens: int


class Chunk(_Record):
    """One event of the stream; `choices` stays unset only where the server tells an error instead."""

    choices: list[Choice] | msgspec.UnsetType = msgspec.UNSET
    usage: Usage | None = None
    error: Any = None


_decoder = msgspec.json.Decoder(Chunk)


def read_chunk(data: bytes) -> Chunk:
    """ValueError when the bytes are not JSON or not a chat chunk."""
    chunk = _decoder.decode(data)
    if chunk.choices is msgspec.UNSET and chunk.error is None:
        raise ValueError("neither choices nor error")
    return chunk


def content_of(delta: ChatDelta) -> tuple[str, int] | None:
    """Kind and number of characters of what a delta carries; None for none.

    Where it carries several kinds, the first one names it, and the characters are added up.
    """
    # Nearly every chunk of a stream is this one.
    if delta.content and not (delta.refusal or delta.tool_calls or delta.reasoning_content or delta.reasoning):
        return "text", len(delta.content)
    functions = [call.function for call in delta.tool_calls or () if call.function is not None]
    lengths = (
        len(delta.content or ""),
        len(delta.refusal or ""),
        sum(len(function.name or "") + len(function.arguments or "") for function in functions),
        len(delta.reasoning_content or delta.reasoning or ""),
    )
    return next(((kind, sum(lengths)) for kind, chars in zip(KINDS, lengths, strict=True) if chars), None)
