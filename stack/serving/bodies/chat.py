"""`POST /v1/chat/completions` (pure)."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from msgspec import Meta
from msgspec.json import encode

from stack.serving.bodies.base import Body, Name, Passage, at_most, tokens_of
from stack.serving.bodies.json_schemas import deeper_than, json_bytes
from stack.serving.bodies.sampling import Sampling
from stack.serving.bodies.tools import Tool, ToolCall, ToolChoice, misfit_of, tools_chars
from stack.serving.policy import Requests

FOREIGN_ROLES = frozenset({"user", "tool"})
"""Whose words are not the application's own."""


class TextPart(Body, frozen=True):
    type: Literal["text"]
    text: str


class Message(Body, frozen=True):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[TextPart], Meta(min_length=1)] | None = None
    name: Name | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: Name | None = None
    reasoning: str | None = None
    reasoning_content: Annotated[str | None, Meta(description="An older name of `reasoning`; the engine reads it as that")] = None
    # An answer has these as null, and clients send answers back as they came.
    refusal: None = None
    annotations: None = None
    audio: None = None
    function_call: None = None
    # What the `openai` package made of an answer; no engine reads it.
    parsed: Any = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""

    @property
    def chars(self) -> int:
        content = sum([len(part.text) for part in self.content]) if isinstance(self.content, list) else len(self.content or "")
        calls = sum([call.chars for call in self.tool_calls]) if self.tool_calls else 0
        parsed = json_bytes(self.parsed) if self.parsed is not None else 0
        return content + calls + parsed + len(self.reasoning or "") + len(self.reasoning_content or "")

    def misfit(self, caps: Requests) -> str | None:
        """What does not go with its role, if anything."""
        own = self.tool_calls or self.reasoning is not None or self.reasoning_content is not None or self.parsed is not None
        if own and self.role != "assistant":
            return "`tool_calls`, `reasoning`, `reasoning_content` and `parsed` belong to the assistant"
        if (self.role == "tool") != (self.tool_call_id is not None):
            return "`tool_call_id` goes with role tool, and only with it"
        if self.content is None and not self.tool_calls:
            return "`content` is missing"
        if self.parsed is not None and deeper_than(caps.schema_depth, self.parsed):
            return "`parsed` is nested too deep"
        return misfit_of(self.tool_calls, caps) if self.tool_calls else None


class ChatBody(Sampling, frozen=True, kw_only=True):
    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0)] | None = None
    tools: Annotated[list[Tool], Meta(min_length=1)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    store: Annotated[bool, Meta(extra_json_schema={"const": False})] | None = None

    def tokens(self, caps: Requests) -> int:
        self.check_sampling(caps)
        at_most("max_completion_tokens", self.max_completion_tokens, caps.max_tokens)
        at_most("top_logprobs", self.top_logprobs, caps.logprobs)
        at_most("messages: their number", len(self.messages), caps.messages)
        if self.store:
            raise ValueError("field `store`: nothing is stored here")
        chars = tools_chars(self.tools, self.tool_choice, caps)
        for index, message in enumerate(self.messages):
            if misfit := message.misfit(caps):
                raise ValueError(f"field `messages.{index}`: {misfit}")
            chars += message.chars
        at_most("messages: their characters", chars, caps.text_chars)
        return tokens_of(chars) + self.answer_tokens(self.max_completion_tokens or self.max_tokens, caps)

    def beginning(self) -> str:
        """Up to the first user message: what every later turn of a conversation begins with."""
        first = next((index for index, message in enumerate(self.messages) if message.role == "user"), len(self.messages))
        return "\0".join(f"{message.role}\0{message.text}" for message in self.messages[: first + 1])

    def passages(self) -> Iterator[Passage]:
        for index, message in enumerate(self.messages):
            field = f"messages.{index}"
            foreign = message.role in FOREIGN_ROLES
            yield Passage(field, message.text, foreign=foreign)
            if message.name is not None:
                yield Passage(f"{field}.name", message.name, foreign=foreign)
            for call in message.tool_calls or ():
                yield Passage(field, call.function.arguments, foreign=False)
            for thought in filter(None, (message.reasoning, message.reasoning_content)):
                yield Passage(field, thought, foreign=False)
        for index, tool in enumerate(self.tools or ()):
            yield Passage(f"tools.{index}", encode(tool.function).decode(), foreign=False)
        yield from self.forms()
