"""What bodies that ask for text share (pure)."""

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, ValidationInfo, model_validator

from stack.serving.bodies.base import Asked, Body, Name, at_most, caps_of
from stack.serving.bodies.json_schemas import check_schema
from stack.serving.policy import Requests

MAX_STOP = 256
TokenId = Annotated[str, Field(pattern=r"^[0-9]{1,7}$")]
Bias = Annotated[float, Field(ge=-100, le=100)]


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


class Sampling(Asked):
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
    logit_bias: dict[TokenId, Bias] | None = None
    stop: Annotated[str, Field(max_length=MAX_STOP)] | list[Annotated[str, Field(min_length=1, max_length=MAX_STOP)]] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    ignore_eos: bool | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None

    @model_validator(mode="after")
    def _within_caps(self, info: ValidationInfo) -> Self:
        caps = caps_of(info)
        at_most("max_tokens", self.max_tokens, caps.max_tokens)
        at_most("min_tokens", self.min_tokens, caps.max_tokens)
        at_most("n", self.n, caps.choices)
        at_most("logit_bias: its length", len(self.logit_bias or ()), caps.logit_bias)
        if isinstance(self.stop, list):
            at_most("stop: its length", len(self.stop), caps.stop_sequences)
        if self.structured_outputs is not None:
            at_most("structured_outputs.choice: its length", len(self.structured_outputs.choice), caps.structured_choices)
        if self.response_format is not None:
            _check_format(self.response_format, caps)
        return self

    @property
    def asks_usage(self) -> bool:
        return not self.stream or "stream_options" in self.model_fields_set

    def answer_cap(self) -> int | None:
        return self.max_tokens

    def tokens(self, caps: Requests) -> int:
        """Prompts by their characters, and every answer as long as it may be."""
        return super().tokens(caps) + len(self.prompts) * (self.n or 1) * (self.answer_cap() or caps.max_tokens)


def _check_format(form: ResponseFormat, caps: Requests) -> None:
    if (form.type == "json_schema") != (form.json_schema is not None):
        raise ValueError("field `response_format.json_schema`: goes with type json_schema, and only with it")
    if form.json_schema is not None:
        check_schema(form.json_schema.schema_, caps, field="response_format.json_schema.schema")
