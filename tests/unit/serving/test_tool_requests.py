import json
from typing import Any

import pytest

from stack.serving.policy import load_policy
from stack.serving.quotas import Demand
from stack.serving.requests import RefusedError, check_body

CAPS = load_policy().requests
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
WEATHER: dict[str, Any] = {"name": "get_weather", "description": "Weather now", "parameters": PARAMETERS, "strict": True}
CALL: dict[str, Any] = {"id": "chatcmpl-tool-1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Nairobi"}'}}
HELLO = {"role": "user", "content": "Hello"}


def tool(**changes: Any) -> dict[str, Any]:
    return {"type": "function", "function": {**WEATHER, **changes}}


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def check(**fields: Any) -> Demand:
    return check_body("chat", json.dumps({"model": "m", "messages": [HELLO], "max_tokens": 8, **fields}).encode(), CAPS)


def refusal(**fields: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        check(**fields)
    return str(caught.value)


@pytest.mark.parametrize("choice", ["none", "auto", "required", {"type": "function", "function": {"name": "get_weather"}}, None])
def test_every_way_to_choose_a_tool_passes(choice: Any) -> None:
    check(tools=[tool(), tool(name="get-time_2", parameters=None)], tool_choice=choice, parallel_tool_calls=False)


def test_a_conversation_with_calls_and_their_results_passes() -> None:
    asked = {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "2"}]}
    check(messages=[HELLO, asked, {"role": "tool", "tool_call_id": "chatcmpl-tool-1", "content": "sunny"}], tools=[tool()])


def test_an_answer_of_the_engine_may_be_sent_back_as_it_came() -> None:
    as_it_came = dict.fromkeys(("refusal", "annotations", "audio", "function_call")) | {"role": "assistant", "reasoning": "He asks.", "content": "Hi"}
    check(messages=[HELLO, as_it_came, HELLO])
    check(messages=[HELLO, {**as_it_came, "reasoning": None, "reasoning_content": "He asks."}, HELLO])
    parsed = {**CALL, "index": 0, "function": {**CALL["function"], "parsed_arguments": {"city": "Nairobi"}}}
    check(messages=[HELLO, {**as_it_came, "parsed": {"city": "Nairobi"}, "tool_calls": [parsed]}])


@pytest.mark.parametrize("text", ["", "{}", "no JSON", '{"cut": "off', "[1]"])
def test_arguments_are_the_models_making_and_need_not_be_json(text: str) -> None:
    check(messages=[HELLO, {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "x", "arguments": text}}]}])


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"tools": []}, "field `tools`"),
        ({"tools": [{"type": "retrieval"}]}, "field `tools.0.type`"),
        ({"tools": [tool(name="a b")]}, "field `tools.0.function.name`"),
        ({"tools": [tool(name="x" * 65)]}, "field `tools.0.function.name`"),
        ({"tools": [tool(description="x" * 4097)]}, "field `tools.0.function.description`"),
        ({"tools": [tool(defer_loading=True)]}, "field `tools.0.function.defer_loading`: not accepted"),
        ({"tools": [tool(), tool()]}, "field `tools`: two functions have the same name"),
        ({"tools": [tool(name=f"f{index}") for index in range(CAPS.tools + 1)]}, "field `tools: their number`"),
        ({"tools": [tool(), tool(name="b", parameters={"pattern": "(a+)+$"})]}, "field `tools.1.function.parameters`: keyword pattern is not accepted"),
        ({"tools": [tool(parameters={"$ref": "http://10.0.0.1/"})]}, "$ref must stay inside"),
        ({"tools": [tool(parameters={"enum": ["x" * CAPS.schema_bytes]})]}, "field `tools.0.function.parameters: its bytes`"),
        (
            {"tools": [tool(name=f"f{index}", parameters={"enum": ["x" * (CAPS.tools_bytes // 8)]}) for index in range(8)]},
            "field `tools: bytes of their parameters`",
        ),
        ({"tool_choice": "auto"}, "field `tool_choice`: goes with `tools`"),
        ({"tools": [tool()], "tool_choice": "any"}, "field `tool_choice`"),
        ({"tools": [tool()], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "field `tool_choice.function.name`"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "field `messages.0`: `tool_call_id` goes with role tool"),
        ({"messages": [{"role": "user", "content": "x", "tool_call_id": "1"}]}, "field `messages.0`: `tool_call_id` goes with role tool"),
        (
            {"messages": [{"role": "user", "content": "x", "tool_calls": [CALL]}]},
            "field `messages.0`: `tool_calls`, `reasoning`, `reasoning_content` and `parsed` belong",
        ),
        ({"messages": [{"role": "user", "content": "x", "reasoning_content": "y"}]}, "`reasoning_content` and `parsed` belong to the assistant"),
        ({"messages": [{"role": "user", "content": "x", "parsed": {"city": "y"}}]}, "`parsed` belong to the assistant"),
        ({"messages": [{"role": "assistant", "content": "x", "parsed": {"city": "y" * CAPS.text_chars}}]}, "field `messages: their characters`"),
        ({"messages": [{"role": "assistant", "content": "x", "parsed": deep(CAPS.schema_depth + 1)}]}, "field `messages.0`: `parsed` is nested too deep"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "function": {**CALL["function"], "parsed_arguments": deep(CAPS.schema_depth + 1)}}]}]},
            "field `messages.0`: `parsed_arguments` are nested too deep",
        ),
        ({"messages": [{"role": "assistant", "content": "x", "reasoning_content": ["y"]}]}, "field `messages.0.reasoning_content`"),
        ({"messages": [{"role": "assistant", "content": "x", "reasoning_content": "y" * CAPS.text_chars}]}, "field `messages: their characters`"),
        ({"messages": [{"role": "assistant", "tool_calls": []}]}, "field `messages.0`: `content` is missing"),
        ({"messages": [{"role": "assistant", "tool_calls": [CALL] * (CAPS.tools + 1)}]}, f"field `messages.0`: at most {CAPS.tools} `tool_calls`"),
        ({"messages": [{"role": "assistant", "content": "x", "audio": {"id": "1"}}]}, "field `messages.0.audio`"),
    ],
)
def test_beyond_the_schema_the_answer_names_the_field(fields: dict[str, Any], told: str) -> None:
    assert told in refusal(**fields)


@pytest.mark.parametrize("text", ['{"a":' * (CAPS.schema_depth + 2) + "1" + "}" * (CAPS.schema_depth + 2), "[" * 100_000])
def test_arguments_nested_too_deep_are_refused(text: str) -> None:
    assert "nested too deep" in refusal(messages=[HELLO, {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "x", "arguments": text}}]}])


def test_tools_and_calls_count_as_text_of_the_prompt() -> None:
    plain, described = check(), check(tools=[tool(description="x" * 4000)])
    assert described.tokens - plain.tokens > 1000
    calls = [{**CALL, "function": {"name": "f", "arguments": " " * (CAPS.text_chars // 2)}}] * 2
    assert "field `messages: their characters`" in refusal(messages=[HELLO, {"role": "assistant", "tool_calls": calls}])
