"""`POST /v1/chat/completions` (pure)."""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema, model_validator

from stack.serving.bodies.base import Body, Name, Passage, at_most, caps_of
from stack.serving.bodies.sampling import Sampling
from stack.serving.bodies.tools import Tool, ToolCall, ToolChoice, check_arguments, check_tools

FOREIGN_ROLES = frozenset({"user", "tool"})
"""Whose words are not the application's own."""


def _not_stored(value: bool) -> bool:
    if value:
        raise ValueError("nothing is stored here")
    return value


# Literal[False] would take 0, which the engine may read otherwise.
NotStored = Annotated[bool, AfterValidator(_not_stored), WithJsonSchema({"const": False, "type": "boolean"})]


class TextPart(Body):
    type: Literal["text"]
    text: str


class Message(Body):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[TextPart], Field(min_length=1)] | None = None
    name: Name | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: Name | None = None
    reasoning: str | None = None
    reasoning_content: str | None = Field(default=None, description="An older name of `reasoning`; the engine reads it as that")
    # An answer has these as null, and clients send answers back as they came.
    refusal: None = None
    annotations: None = None
    audio: None = None
    function_call: None = None
    # What the `openai` package made of an answer; no engine reads it.
    parsed: Any = None

    @model_validator(mode="after")
    def _fits_its_role(self, info: ValidationInfo) -> Self:
        caps = caps_of(info)
        if self.role != "assistant" and (self.tool_calls or self.reasoning is not None or self.reasoning_content is not None):
            raise ValueError("`tool_calls`, `reasoning` and `reasoning_content` belong to the assistant")
        if (self.role == "tool") != (self.tool_call_id is not None):
            raise ValueError("`tool_call_id` goes with role tool, and only with it")
        if self.content is None and not self.tool_calls:
            raise ValueError("`content` is missing")
        for call in self.tool_calls or ():
            check_arguments(call.function.arguments, caps.schema_depth)
        if len(self.tool_calls or ()) > caps.tools:
            raise ValueError(f"at most {caps.tools} `tool_calls`")
        return self

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""

    @property
    def chars(self) -> int:
        content = sum(len(part.text) for part in self.content) if isinstance(self.content, list) else len(self.content or "")
        return content + len(self.reasoning or "") + len(self.reasoning_content or "") + (sum(call.chars for call in self.tool_calls) if self.tool_calls else 0)


class ChatBody(Sampling):
    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0)
    tools: Annotated[list[Tool], Field(min_length=1)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    store: NotStored | None = None

    @model_validator(mode="after")
    def _chat_within_caps(self, info: ValidationInfo) -> Self:
        caps = caps_of(info)
        at_most("max_completion_tokens", self.max_completion_tokens, caps.max_tokens)
        at_most("top_logprobs", self.top_logprobs, caps.logprobs)
        at_most("messages: their number", len(self.messages), caps.messages)
        check_tools(self.tools, self.tool_choice, caps)
        at_most("messages: their characters", self.prompts[0], caps.text_chars)
        return self

    @cached_property
    def prompts(self) -> tuple[int, ...]:
        return (sum([message.chars for message in self.messages]) + sum([tool.chars for tool in self.tools or ()]),)

    def beginning(self) -> str:
        """Up to the first user message: what every later turn of a conversation begins with."""
        first = next((index for index, message in enumerate(self.messages) if message.role == "user"), len(self.messages))
        return "\0".join(f"{message.role}\0{message.text}" for message in self.messages[: first + 1])

    def passages(self) -> Iterator[Passage]:
        for index, message in enumerate(self.messages):
            field = f"messages.{index}"
            yield Passage(field, message.text, foreign=message.role in FOREIGN_ROLES)
            for call in message.tool_calls or ():
                yield Passage(field, call.function.arguments, foreign=False)
            for thought in filter(None, (message.reasoning, message.reasoning_content)):
                yield Passage(field, thought, foreign=False)
        for index, tool in enumerate(self.tools or ()):
            yield Passage(f"tools.{index}", tool.function.description or "", foreign=False)

    def answer_cap(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens
