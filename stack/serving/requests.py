"""The closed schema of request bodies: what the engine may be asked, field by field (pure).

A field that is not here is refused, whatever the engine would make of it: `chat_template`,
`chat_template_kwargs`, `prompt_embeds`, `mm_processor_kwargs`, `media_io_kwargs`, regular expressions
and grammars have each been a way into vLLM. Text only: no images, no audio, no URLs to fetch.
"""

import json
import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, ValidationInfo, model_validator

from stack.serving.policy import BodyKind, Requests
from stack.serving.quotas import Demand

REPEATS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
REPEAT_LIMIT = 1024
"""Grammars unroll repetitions, so their number is a size."""
REFUSED_KEYWORDS = frozenset({"pattern", "patternProperties"})
NAME_MAPS = frozenset({"properties", "$defs", "definitions"})
"""Keywords whose keys are names of the author's choice, not keywords."""
CHARS_PER_TOKEN = 4
"""To estimate a prompt before anything counted it: about what tokenizers give for English text."""
MAX_NAME = 128
MAX_STOP = 256

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Text = Annotated[str, Field(min_length=1)]


class RefusedError(Exception):
    """A request the policy does not allow: what the client is told, and the HTTP status."""

    def __init__(self, reason: str, *, status: int = 400, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after_s = retry_after_s
        self.tenant: str | None = None
        """Whose request it was, where that was known."""


class Body(BaseModel):
    # strict: "5" is no number and 1 no boolean, so that we and the engine cannot read a value differently.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class TextPart(Body):
    type: Literal["text"]
    text: str


class Message(Body):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(min_length=1)]
    name: Name | None = None

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)

    @property
    def chars(self) -> int:
        return len(self.content) if isinstance(self.content, str) else sum(len(part.text) for part in self.content)


class StreamOptions(Body):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class JsonSchema(Body):
    name: Name
    schema_: dict[str, JsonValue] = Field(alias="schema")
    strict: bool | None = None
    description: str | None = Field(default=None, max_length=1024)


class ResponseFormat(Body):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StructuredOutputs(Body):
    choice: Annotated[list[Annotated[str, Field(min_length=1, max_length=1024)]], Field(min_length=1)]


class Sampling(Body):
    """What chat and plain completions share."""

    model: Name
    max_tokens: int | None = Field(default=None, ge=1)
    min_tokens: int | None = Field(default=None, ge=0)
    n: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1, le=1 << 20)
    min_p: float | None = Field(default=None, ge=0, le=1)
    seed: int | None = Field(default=None, ge=-(1 << 63), lt=1 << 63)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    repetition_penalty: float | None = Field(default=None, gt=0, le=2)
    stop: Annotated[str, Field(max_length=MAX_STOP)] | list[Annotated[str, Field(min_length=1, max_length=MAX_STOP)]] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    ignore_eos: bool | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    user: Annotated[str, Field(max_length=MAX_NAME)] | None = None

    @model_validator(mode="after")
    def _within_caps(self, info: ValidationInfo) -> Self:
        caps = _caps(info)
        _at_most("max_tokens", self.max_tokens, caps.max_tokens)
        _at_most("min_tokens", self.min_tokens, caps.max_tokens)
        _at_most("n", self.n, caps.choices)
        if isinstance(self.stop, list):
            _at_most("stop: its length", len(self.stop), caps.stop_sequences)
        if self.structured_outputs is not None:
            _at_most("structured_outputs.choice: its length", len(self.structured_outputs.choice), caps.structured_choices)
        if self.response_format is not None:
            _check_format(self.response_format, caps)
        return self

    def prompts(self) -> list[int]:
        """Characters of each prompt."""
        raise NotImplementedError

    def beginning(self) -> str:
        """Of the first prompt: what other requests are likely to share."""
        raise NotImplementedError

    def answer_cap(self) -> int | None:
        return self.max_tokens

    def tokens(self, caps: Requests) -> int:
        """An estimate of prompt and answers: characters by a rule of thumb, and every answer as long as it may be."""
        prompts, cap = self.prompts(), self.answer_cap() or caps.max_tokens
        return sum(math.ceil(chars / CHARS_PER_TOKEN) for chars in prompts) + len(prompts) * (self.n or 1) * cap


class ChatBody(Sampling):
    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _chat_within_caps(self, info: ValidationInfo) -> Self:
        caps = _caps(info)
        _at_most("max_completion_tokens", self.max_completion_tokens, caps.max_tokens)
        _at_most("top_logprobs", self.top_logprobs, caps.logprobs)
        _at_most("messages: their number", len(self.messages), caps.messages)
        _at_most("messages: their characters", sum(message.chars for message in self.messages), caps.text_chars)
        return self

    def prompts(self) -> list[int]:
        return [sum(message.chars for message in self.messages)]

    def beginning(self) -> str:
        """Up to the first user message: what every later turn of a conversation begins with."""
        first = next((index for index, message in enumerate(self.messages) if message.role == "user"), len(self.messages))
        return "\0".join(f"{message.role}\0{message.text}" for message in self.messages[: first + 1])

    def answer_cap(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


class CompletionBody(Sampling):
    prompt: Text | Annotated[list[Text], Field(min_length=1)]
    echo: bool | None = None
    logprobs: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _completion_within_caps(self, info: ValidationInfo) -> Self:
        caps = _caps(info)
        prompts = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        _at_most("prompt: their number", len(prompts), caps.choices)
        _at_most("prompt: its characters", sum(map(len, prompts)), caps.text_chars)
        _at_most("logprobs", self.logprobs, caps.logprobs)
        return self

    def prompts(self) -> list[int]:
        return [len(self.prompt)] if isinstance(self.prompt, str) else list(map(len, self.prompt))

    def beginning(self) -> str:
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]


BODIES: dict[BodyKind, type[Sampling]] = {"chat": ChatBody, "completions": CompletionBody}


def check_body(kind: BodyKind, body: bytes, caps: Requests) -> Demand:
    """What a body asks for; RefusedError naming the field when it is not one the policy allows."""
    try:
        read = BODIES[kind].model_validate_json(body, context=caps)
    except ValidationError as error:
        raise RefusedError(_describe(error)) from None
    asks_usage = not read.stream or "stream_options" in read.model_fields_set
    return Demand(model=read.model, tokens=read.tokens(caps), asks_usage=asks_usage, beginning=read.beginning())


def _describe(error: ValidationError) -> str:
    """The first fault without the value: what a client sent is not repeated to logs or other readers."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    # An unknown field is told first: it is what a hostile or mistaken request is about.
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    # Parts like `str` and `list[TextPart]` are pydantic's names for the ways a value may be read, not fields.
    where = ".".join(str(part)[:MAX_NAME] for part in first["loc"] if part != "str" and "[" not in str(part))
    what = "not accepted by this gateway" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
    return f"field `{where}`: {what}" if where else what


def _caps(info: ValidationInfo) -> Requests:
    if not isinstance(info.context, Requests):
        raise TypeError("bodies are validated with the policy's caps as context")
    return info.context


def _at_most(field: str, value: int | None, cap: int) -> None:
    if value is not None and value > cap:
        raise ValueError(f"field `{field}`: must be at most {cap}, got {value}")


def _check_format(form: ResponseFormat, caps: Requests) -> None:
    if (form.type == "json_schema") != (form.json_schema is not None):
        raise ValueError("field `response_format.json_schema`: goes with type json_schema, and only with it")
    if form.json_schema is None:
        return
    schema = form.json_schema.schema_
    _at_most("response_format.json_schema.schema: its bytes", len(json.dumps(schema, separators=(",", ":"))), caps.schema_bytes)
    _check_schema(schema, caps.schema_depth, names=False)


def _check_schema(node: Any, depth_left: int, *, names: bool) -> None:
    """Refuse regular expressions, references out of the document, huge repetitions and deep nesting."""
    if depth_left < 0:
        raise ValueError("field `response_format.json_schema.schema`: nested too deep")
    if isinstance(node, list):
        for each in node:
            _check_schema(each, depth_left - 1, names=False)
    elif isinstance(node, dict):
        for key, value in node.items():
            if not names:
                _check_keyword(key, value)
            _check_schema(value, depth_left - 1, names=not names and key in NAME_MAPS)


def _check_keyword(key: str, value: Any) -> None:
    where = "field `response_format.json_schema.schema`"
    if key in REFUSED_KEYWORDS:
        raise ValueError(f"{where}: keyword {key} is not accepted (regular expressions)")
    if key == "$ref" and not (isinstance(value, str) and value.startswith("#")):
        raise ValueError(f"{where}: $ref must stay inside the document")
    if key in REPEATS and not (isinstance(value, int) and 0 <= value <= REPEAT_LIMIT):
        raise ValueError(f"{where}: {key} must be a whole number between 0 and {REPEAT_LIMIT}")
