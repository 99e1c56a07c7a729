"""What bodies that ask for text share (pure)."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field
from msgspec.json import encode

from stack.serving.bodies.base import Asked, Body, Name, Passage, at_most
from stack.serving.bodies.json_schemas import check_schema
from stack.serving.policy import Requests

MAX_STOP = 256
MAX_CHOICE = 1024
TokenId = Annotated[str, Meta(pattern=r"^[0-9]{1,7}$")]
Bias = Annotated[float, Meta(ge=-100, le=100)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]


class StreamOptions(Body, frozen=True):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class JsonSchema(Body, frozen=True):
    name: Name
    schema_: dict[str, Any] = field(name="schema")
    strict: bool | None = None
    description: Annotated[str, Meta(max_length=1024)] | None = None


class ResponseFormat(Body, frozen=True):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StructuredOutputs(Body, frozen=True):
    choice: Annotated[list[Annotated[str, Meta(min_length=1, max_length=MAX_CHOICE)]], Meta(min_length=1)]


class Sampling(Asked, frozen=True, kw_only=True):
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    min_tokens: Annotated[int, Meta(ge=0)] | None = None
    n: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=-1, le=1 << 20)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    seed: Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=2)] | None = None
    logit_bias: dict[TokenId, Bias] | None = None
    stop: Annotated[str, Meta(max_length=MAX_STOP)] | list[Annotated[str, Meta(min_length=1, max_length=MAX_STOP)]] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | UnsetType | None = UNSET
    ignore_eos: bool | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None

    def check_sampling(self, caps: Requests) -> None:
        """ValueError naming the field that goes beyond the caps."""
        at_most("max_tokens", self.max_tokens, caps.max_tokens)
        at_most("min_tokens", self.min_tokens, caps.max_tokens)
        at_most("n", self.n, caps.choices)
        if self.logit_bias is not None:
            at_most("logit_bias: its length", len(self.logit_bias), caps.logit_bias)
        if isinstance(self.stop, list):
            at_most("stop: its length", len(self.stop), caps.stop_sequences)
        if self.structured_outputs is not None:
            choice = self.structured_outputs.choice
            at_most("structured_outputs.choice: its length", len(choice), caps.structured_choices)
            # They are compiled into a grammar, as a schema is.
            at_most("structured_outputs.choice: its characters", sum(map(len, choice)), caps.schema_bytes)
        if self.response_format is not None:
            _check_format(self.response_format, caps)

    def answer_tokens(self, cap: int | None, caps: Requests) -> int:
        """Every answer to one prompt as long as it may be."""
        return (self.n or 1) * (cap or caps.max_tokens)

    def forms(self) -> Iterator[Passage]:
        """What answers are held to: the model says what stands in it."""
        for name, form in (("response_format", self.response_format), ("structured_outputs", self.structured_outputs)):
            if form is not None:
                yield Passage(name, encode(form).decode(), foreign=False)

    @property
    def asks_usage(self) -> bool:
        # Null too: of a key that is repeated the engine takes the last, so the gateway's own would not count.
        return not self.stream or self.stream_options is not UNSET


def _check_format(form: ResponseFormat, caps: Requests) -> None:
    if (form.type == "json_schema") != (form.json_schema is not None):
        raise ValueError("field `response_format.json_schema`: goes with type json_schema, and only with it")
    if form.json_schema is not None:
        check_schema(form.json_schema.schema_, caps, field="response_format.json_schema.schema")
