"""The OpenAPI document says what the closed body schema does: both judge the same bodies, and agree."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.validators import extend

from stack.serving.bodies import BODIES
from stack.serving.openapi import openapi_document
from stack.serving.policy import BodyKind, GatewayPolicy, Requests, load_policy
from stack.serving.requests import RefusedError, check_body
from stack.serving.tenants import RateClass

POLICY = load_policy()
DOCUMENT = openapi_document(POLICY)
# JSON Schema calls 1.0 an integer; the gateway does not, and the document says so in words.
STRICT = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)),
)
VALID: dict[BodyKind, dict[str, Any]] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "n": 1, "stop": ["x"]},
    "completions": {"model": "m", "prompt": ["Hello"], "logprobs": 1, "max_tokens": 1},
    "embeddings": {"model": "m", "input": ["Hello"], "dimensions": 1},
}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "tool", "root"])},
        optional={
            "content": st.sampled_from(["", "a", None, [], [{"type": "text", "text": "a"}], [{"type": "image_url", "image_url": {"url": "file:///"}}]]),
            "tool_calls": st.sampled_from([None, [], [CALL], [{**CALL, "type": "code"}], [CALL] * 33]),
            "tool_call_id": st.sampled_from([None, "", "1"]),
            "reasoning": st.sampled_from([None, "a"]),
            "reasoning_content": st.sampled_from([None, "a"]),
            "audio": st.sampled_from([None, {}]),
            "parsed": st.sampled_from([None, {"a": 1}]),
        },
    ),
    min_size=1,
    max_size=2,
)
OF_FIELDS = {
    "store": st.sampled_from([None, False, 0, True, 1]),
    "messages": MESSAGES,
    "tools": st.sampled_from([None, [], [TOOL], [{**TOOL, "function": {"name": "f g"}}], [{**TOOL, "function": {"name": "f", "parameters": None}}]]),
    "tool_choice": st.sampled_from([None, "none", "auto", "required", {"type": "function", "function": {"name": "f"}}, {"type": "function"}]),
    "logit_bias": st.dictionaries(st.sampled_from(["0", "5", "-1", "1.5", "x", "12345678"]), st.sampled_from([0, 1.5, -101, None]), max_size=2),
}
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(1 << 65), max_value=1 << 65),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(alphabet="ab#", max_size=3),
    st.sampled_from(["user", "text", "json_object", "json_schema", "x" * 129, "x" * 257]),
    st.lists(st.sampled_from(["", "a", 1, None, {"type": "text", "text": "a"}, {"role": "user", "content": "a"}]), max_size=10),
    st.dictionaries(st.sampled_from(["type", "choice", "include_usage", "json_schema"]), st.sampled_from(["text", ["a"], True, None, 1]), max_size=2),
)
KEYWORDS = ["type", "pattern", "patternProperties", "properties", "$defs", "$ref", "minItems", "maxLength", "items", "multipleOf", "maxProperties", "default"]
NODES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 1026) | st.sampled_from(["#/a", "other.json"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=3),
    max_leaves=6,
)


def documented(kind: BodyKind, body: Any, document: dict[str, Any] = DOCUMENT) -> bool:
    return STRICT({"$ref": f"#/components/schemas/{BODIES[kind].__name__}", "components": document["components"]}).is_valid(body)


def accepted(kind: BodyKind, body: Any, caps: Requests = POLICY.requests) -> bool:
    try:
        check_body(kind, json.dumps(body).encode(), caps)
    except RefusedError:
        return False
    return True


@st.composite
def changed_bodies(draw: st.DrawFn) -> tuple[BodyKind, Any]:
    """A valid body with some fields set to odd values, left out, or added."""
    kind = draw(st.sampled_from(sorted(VALID)))
    names = [*BODIES[kind].__struct_fields__, "chat_template", "cache_salt"]
    body = {**VALID[kind], **{name: draw(OF_FIELDS.get(name, ODD)) for name in draw(st.sets(st.sampled_from(names), max_size=3))}}
    if kind == "chat" and draw(st.booleans()):
        body |= {name: draw(OF_FIELDS[name]) for name in ("messages", "tools", "tool_choice")}
    for name in draw(st.lists(st.sampled_from(sorted(body)), max_size=1)):
        del body[name]
    return kind, body


@settings(max_examples=400)
@given(case=changed_bodies())
def test_the_document_allows_exactly_the_bodies_that_are_accepted(case: tuple[BodyKind, Any]) -> None:
    kind, body = case
    assert documented(kind, body) == accepted(kind, body)


@given(schema=st.dictionaries(st.sampled_from(KEYWORDS), NODES, max_size=3))
def test_the_document_allows_exactly_the_answer_schemas_that_are_accepted(schema: dict[str, Any]) -> None:
    body = {**VALID["chat"], "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}}
    assert documented("chat", body) == accepted("chat", body)


@pytest.mark.parametrize("kind", VALID)
def test_the_valid_bodies_are_valid(kind: BodyKind) -> None:
    assert documented(kind, VALID[kind])
    assert accepted(kind, VALID[kind])


@pytest.mark.parametrize("cap", Requests.model_fields)
def test_every_cap_of_the_policy_is_in_the_document(cap: str) -> None:
    other = POLICY.requests.model_copy(update={cap: getattr(POLICY.requests, cap) - 1})
    assert openapi_document(POLICY.model_copy(update={"requests": other})) != DOCUMENT


def test_all_schemas_are_schemas_and_every_reference_leads_somewhere() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    text = json.dumps(DOCUMENT)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/')[1:]}:
        place: Any = DOCUMENT
        for name in reference.split("/"):
            place = place[name]
        assert place, reference


def test_the_document_lists_the_routes_of_the_policy_and_the_health_path_and_nothing_else() -> None:
    told = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert told == {*((route.method, route.path) for route in POLICY.routes), ("GET", POLICY.health_path)}
    chat_alone = POLICY.model_copy(update={"routes": POLICY.routes[:1]})
    assert set(openapi_document(chat_alone)["paths"]) == {"/v1/chat/completions", "/healthz"}
    assert "CompletionBody" not in openapi_document(chat_alone)["components"]["schemas"]


def statuses(policy: GatewayPolicy) -> set[str]:
    return set(openapi_document(policy)["paths"]["/v1/chat/completions"]["post"]["responses"])


def test_statuses_that_only_limits_and_issuers_bring_are_told_with_them() -> None:
    assert not {"403", "429"} & statuses(POLICY)
    assert "429" in statuses(POLICY.model_copy(update={"classes": {"default": RateClass(requests_per_minute=1)}}))
    assert "403" in statuses(POLICY.model_copy(update={"classes": {"default": RateClass(models=("m",))}}))
