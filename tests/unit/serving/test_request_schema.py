import contextlib
import json
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from stack.serving.bodies import BODIES
from stack.serving.policy import BodyKind, Requests, load_policy
from stack.serving.requests import RefusedError, check_body

CAPS = load_policy().requests
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
BASES: dict[BodyKind, dict[str, Any]] = {"chat": CHAT, "completions": {"model": "m", "prompt": "Hello"}, "embeddings": {"model": "m", "input": "Hello"}}
DANGEROUS = (
    "chat_template",
    "chat_template_kwargs",
    "prompt_embeds",
    "mm_processor_kwargs",
    "media_io_kwargs",
    "guided_regex",
    "guided_grammar",
    "guided_json",
    "guided_decoding_backend",
    "structural_tag",
    "logits_processors",
    "kv_transfer_params",
    "vllm_xargs",
    "best_of",
    "use_beam_search",
    "documents",
    "functions",
    "function_call",
    "metadata",
    "modalities",
    "prediction",
    "web_search_options",
    "thinking_token_budget",
    "stop_token_ids",
    "audio",
    "cache_salt",
    "priority",
    "add_generation_prompt",
    "return_token_ids",
    "prompt_logprobs",
    "allowed_token_ids",
    "bad_words",
    "truncate_prompt_tokens",
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def check(body: Any, kind: BodyKind = "chat", caps: Requests = CAPS) -> None:
    check_body(kind, json.dumps(body).encode(), caps)


def refusal(body: Any, kind: BodyKind = "chat", caps: Requests = CAPS) -> str:
    with pytest.raises(RefusedError) as caught:
        check(body, kind, caps)
    return str(caught.value)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def with_format(schema: Any) -> dict[str, Any]:
    return {**CHAT, "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}


@pytest.mark.parametrize(
    "extra",
    [
        {"max_tokens": 16, "temperature": 0, "seed": 0, "stream": True, "stream_options": {"include_usage": True}},
        {"structured_outputs": {"choice": ["positive", "negative"]}},
        {"stop": ["\n"], "n": 4, "logprobs": True, "top_logprobs": 5, "ignore_eos": True, "min_tokens": 4},
        {"max_completion_tokens": 16, "top_p": 0.9, "top_k": -1, "user": "u"},
        {"response_format": {"type": "json_object"}},
        {"logit_bias": {"50256": -100, "11": 2.5}, "reasoning_effort": "low", "store": False},
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hello"}]}]},
    ],
)
def test_what_clients_of_the_api_send_passes(extra: dict[str, Any]) -> None:
    check({**CHAT, **extra})


def test_a_schema_within_the_caps_passes_even_with_a_property_named_like_a_keyword() -> None:
    check(with_format({"type": "object", "properties": {"pattern": {"type": "array", "maxItems": 10}}, "required": ["pattern"]}))


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("field", DANGEROUS)
def test_a_dangerous_field_is_refused_by_name(kind: BodyKind, field: str) -> None:
    assert refusal({**BASES[kind], field: None}, kind) == f"field `{field}`: not accepted by this gateway"


@given(field=st.text(min_size=1, max_size=30), value=json_values)
def test_any_field_beyond_the_schema_is_refused(field: str, value: Any) -> None:
    with pytest.raises(RefusedError):
        check({**CHAT, f"x_{field}": value})


@given(st.binary(max_size=200))
def test_bytes_that_are_no_request_are_refused_and_never_a_traceback(body: bytes) -> None:
    for kind in BASES:
        with pytest.raises(RefusedError):
            check_body(kind, body, CAPS)


@given(st.sampled_from(sorted(BASES)), st.data())
def test_values_of_any_shape_are_judged_and_never_a_traceback(kind: BodyKind, data: st.DataObject) -> None:
    fields = data.draw(st.dictionaries(st.sampled_from(sorted(BODIES[kind].__struct_fields__)), json_values))
    with contextlib.suppress(RefusedError):
        check({**BASES[kind], **fields}, kind)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"n": 5}, "field `n`: must be at most 4, got 5"),
        ({"max_tokens": CAPS.max_tokens + 1}, "field `max_tokens`: must be at most"),
        ({"max_completion_tokens": CAPS.max_tokens + 1}, "field `max_completion_tokens`: must be at most"),
        ({"max_tokens": "5"}, "field `max_tokens`"),
        ({"stream": 1}, "field `stream`"),
        ({"temperature": 3}, "field `temperature`"),
        ({"top_logprobs": 21}, "field `top_logprobs`"),
        ({"messages": []}, "field `messages`"),
        ({"messages": CHAT["messages"] * (CAPS.messages + 1)}, "field `messages: their number`"),
        ({"messages": [{"role": "user", "content": "x" * (CAPS.text_chars + 1)}]}, "field `messages: their characters`"),
        ({"messages": [{"role": "function", "content": "x"}]}, "field `messages.0.role`"),
        ({"messages": [{"role": "user"}]}, "field `messages.0`: `content` is missing"),
        ({"logit_bias": {"x": 1}}, "field `logit_bias"),
        ({"logit_bias": {"1": 101}}, "field `logit_bias`: Expected `float` <= 100"),
        ({"logit_bias": {str(token): 1 for token in range(CAPS.logit_bias + 1)}}, "field `logit_bias: its length`"),
        ({"reasoning_effort": "max"}, "field `reasoning_effort`"),
        ({"store": True}, "field `store`"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://10.0.0.1/"}}]}]}, "field `messages.0.content"),
        ({"structured_outputs": {"regex": "(a+)+$"}}, "field `structured_outputs.regex`: not accepted"),
        ({"structured_outputs": {"grammar": "root ::= x"}}, "field `structured_outputs.grammar`: not accepted"),
        ({"structured_outputs": {"choice": ["a"] * (CAPS.structured_choices + 1)}}, "field `structured_outputs.choice: its length`"),
        ({"structured_outputs": {"choice": ["x" * 1000] * 17}}, "field `structured_outputs.choice: its characters`: must be at most 16384, got 17000"),
        ({"stop": ["x"] * (CAPS.stop_sequences + 1)}, "field `stop: its length`"),
        ({"response_format": {"type": "json_schema"}}, "field `response_format.json_schema`"),
        ({"response_format": {"type": "structural_tag"}}, "field `response_format.type`"),
    ],
)
def test_beyond_a_cap_the_answer_names_the_field(fields: dict[str, Any], told: str) -> None:
    assert told in refusal({**CHAT, **fields})


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "string", "pattern": "(a+)+$"}, "pattern is not accepted"),
        ({"type": "object", "properties": {"x": {"pattern": "a"}}}, "pattern is not accepted"),
        ({"patternProperties": {"^a": {}}}, "patternProperties is not accepted"),
        ({"$ref": "http://10.0.0.1/schema"}, "must stay inside"),
        ({"type": "array", "minItems": 10**9}, "minItems must be"),
        ({"type": "array", "maxItems": 1.5}, "maxItems must be"),
        ({"type": "string", "maxLength": 10}, "maxLength is not accepted (the engine takes seconds"),
        ({"items": {"minLength": 1}}, "minLength is not accepted"),
        ({"enum": ["x" * CAPS.schema_bytes]}, "its bytes"),
        ({"type": "integer", "multipleOf": 99999989}, "multipleOf is not accepted (the engine takes seconds"),
        ({"type": "object", "minProperties": 1}, "minProperties is not accepted"),
        ({"items": {"type": "object", "maxProperties": 1}}, "maxProperties is not accepted"),
        ({"type": "array", "uniqueItems": True}, "keyword uniqueItems is not accepted"),
        ({"type": "array", "contains": {}}, "keyword contains is not accepted"),
        ({"anyOf": [{"x" * 200: 1}]}, f"keyword {'x' * 128} is not accepted"),
        ({"properties": {f"a{number}": {} for number in range(129)}}, "properties must be at most 128, got 129"),
        ({"default": nested(CAPS.schema_depth)}, "nested too deep"),
    ],
)
def test_a_schema_that_could_hurt_the_grammar_engine_is_refused(schema: Any, told: str) -> None:
    assert told in refusal(with_format(schema))


def test_what_pydantic_makes_of_a_model_passes_and_data_in_a_schema_is_no_keyword() -> None:
    class Colour(Enum):
        RED = "red"

    class Place(BaseModel):
        name: str = Field(description="Of the place", examples=["Nairobi"])
        kind: Literal["town", "village"] = "town"
        colour: Colour | None = None
        size: Annotated[int, Field(ge=0, le=9)] = 1
        at: tuple[float, float] | None = None
        inside: "list[Place]" = Field(default_factory=list, max_length=4)
        notes: dict[str, str] = {"pattern": "none"}

    check(with_format(Place.model_json_schema()))
    check(with_format({"const": {"multipleOf": 3}, "examples": [{"pattern": "x"}], "discriminator": {"propertyName": "kind", "mapping": {"x": "y"}}}))


def test_a_schema_nested_too_deep_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(CAPS.schema_depth + 1):
        schema = {"items": schema}
    assert "nested too deep" in refusal(with_format(schema))


def test_json_nested_deeper_than_any_parser_likes_is_refused() -> None:
    with pytest.raises(RefusedError):
        check_body("chat", b'{"a":' * 100_000, CAPS)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the body is not JSON"),
        (b'{"model": NaN}', "the body is not JSON"),
        (b'{"model": "\xff", "messages": []}', "the body is not JSON"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "field `model`: is missing"),
        (b'{"model": "m", "messages": [{"content": "x"}]}', "field `messages.0.role`: is missing"),
        (b'{"model": "m", "messages": [{"role": "root", "content": "x"}]}', "field `messages.0.role`: not one of the values that are accepted"),
        (b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "' + b"y" * 200 + b'": 1}', f"field `{'y' * 128}`: not accepted by this gateway"),
    ],
)
def test_a_refusal_says_in_one_line_what_is_wrong_and_where(body: bytes, told: str) -> None:
    with pytest.raises(RefusedError) as caught:
        check_body("chat", body, CAPS)
    assert str(caught.value) == told


def test_the_answer_does_not_repeat_what_was_sent() -> None:
    assert "secret prompt" not in refusal({**CHAT, "messages": [{"role": "user", "content": "secret prompt", "x": 1}], "temperature": "secret prompt"})
