"""Tools that a chat offers the model, and calls the model made of them (pure)."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta

from stack.serving.bodies.base import Body, Name, at_most
from stack.serving.bodies.json_schemas import check_schema, deeper_than, json_bytes
from stack.serving.policy import Requests

MAX_DESCRIPTION = 4096

FunctionName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""The OpenAI API's own rule."""


class Function(Body, frozen=True):
    name: FunctionName
    description: Annotated[str, Meta(max_length=MAX_DESCRIPTION)] | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Body, frozen=True):
    type: Literal["function"]
    function: Function


class ChosenFunction(Body, frozen=True):
    name: FunctionName


class ToolChoice(Body, frozen=True):
    type: Literal["function"]
    function: ChosenFunction


class CalledFunction(Body, frozen=True):
    name: FunctionName
    arguments: str
    """JSON text of the model's making, so it need not be JSON: the engine reads what is none as `{}`."""
    parsed_arguments: Any = None
    """What the `openai` package made of the text; no engine reads it, and it comes with answers that are sent back."""


class ToolCall(Body, frozen=True):
    id: Name
    type: Literal["function"]
    function: CalledFunction
    index: Annotated[int, Meta(ge=0, le=1 << 16)] | None = None
    """Which call of a stream it was; no engine reads it."""

    @property
    def chars(self) -> int:
        parsed = self.function.parsed_arguments
        return len(self.function.name) + len(self.function.arguments) + (json_bytes(parsed) if parsed is not None else 0)


def tools_chars(tools: Sequence[Tool] | None, choice: str | ToolChoice | None, caps: Requests) -> int:
    """What the prompt grows by: templates write tools out as JSON. ValueError naming the field that goes beyond the caps."""
    if tools is None:
        if choice not in {None, "none"}:
            raise ValueError("field `tool_choice`: goes with `tools`")
        return 0
    at_most("tools: their number", len(tools), caps.tools)
    functions = [tool.function for tool in tools]
    names = {function.name for function in functions}
    if len(names) != len(tools):
        raise ValueError("field `tools`: two functions have the same name")
    schemas = sum(check_schema(each.parameters or {}, caps, field=f"tools.{index}.function.parameters") for index, each in enumerate(functions))
    # A forced call compiles all of them into one grammar.
    at_most("tools: bytes of their parameters", schemas, caps.tools_bytes)
    if isinstance(choice, ToolChoice) and choice.function.name not in names:
        raise ValueError("field `tool_choice.function.name`: none of `tools` has this name")
    return schemas + sum(len(each.name) + len(each.description or "") for each in functions)


def misfit_of(calls: Sequence[ToolCall], caps: Requests) -> str | None:
    """What is wrong with calls that the model made, if anything: too many, or nested too deep for whoever reads their arguments next."""
    if len(calls) > caps.tools:
        return f"at most {caps.tools} `tool_calls`"
    for call in calls:
        if deeper_than(caps.schema_depth, call.function.parsed_arguments):
            return "`parsed_arguments` are nested too deep"
        if _read_deeper_than(caps.schema_depth, call.function.arguments):
            return "`arguments` are nested too deep"
    return None


def _read_deeper_than(depth: int, text: str) -> bool:
    try:
        return deeper_than(depth, json.loads(text))
    except RecursionError:
        return True
    except ValueError:
        return False
