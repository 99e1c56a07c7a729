"""Tools that a chat offers the model, and calls the model made of them (pure)."""

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from stack.serving.bodies.base import Body, Name, at_most
from stack.serving.bodies.json_schemas import check_schema, schema_bytes
from stack.serving.policy import Requests

MAX_DESCRIPTION = 4096

FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""The OpenAI API's own rule."""


class Function(Body):
    name: FunctionName
    description: str | None = Field(default=None, max_length=MAX_DESCRIPTION)
    parameters: dict[str, JsonValue] | None = None
    strict: bool | None = None

    @cached_property
    def parameters_bytes(self) -> int:
        return schema_bytes(self.parameters or {})


class Tool(Body):
    type: Literal["function"]
    function: Function

    @property
    def chars(self) -> int:
        """What the prompt grows by: templates write tools out as JSON."""
        function = self.function
        return len(function.name) + len(function.description or "") + function.parameters_bytes


class ChosenFunction(Body):
    name: FunctionName


class ToolChoice(Body):
    type: Literal["function"]
    function: ChosenFunction


class CalledFunction(Body):
    name: FunctionName
    arguments: str
    """JSON text of the model's making, so it need not be JSON: the engine reads what is none as `{}`."""
    # What the `openai` package made of the text; no engine reads it.
    parsed_arguments: Any = None


class ToolCall(Body):
    id: Name
    type: Literal["function"]
    function: CalledFunction
    index: int | None = Field(default=None, ge=0, le=1 << 16, description="Which call of a stream it was; no engine reads it")

    @property
    def chars(self) -> int:
        return len(self.function.name) + len(self.function.arguments)


def check_tools(tools: Sequence[Tool] | None, choice: str | ToolChoice | None, caps: Requests) -> None:
    """ValueError naming the field."""
    if tools is None:
        if choice not in {None, "none"}:
            raise ValueError("field `tool_choice`: goes with `tools`")
        return
    at_most("tools: their number", len(tools), caps.tools)
    names = [tool.function.name for tool in tools]
    if len(set(names)) != len(names):
        raise ValueError("field `tools`: two functions have the same name")
    for index, tool in enumerate(tools):
        check_schema(tool.function.parameters or {}, caps, field=f"tools.{index}.function.parameters")
    # A forced call compiles all of them into one grammar.
    at_most("tools: bytes of their parameters", sum(tool.function.parameters_bytes for tool in tools), caps.tools_bytes)
    if isinstance(choice, ToolChoice) and choice.function.name not in names:
        raise ValueError("field `tool_choice.function.name`: none of `tools` has this name")


def check_arguments(text: str, depth: int) -> None:
    """ValueError when the arguments are nested too deep for whoever reads them next."""
    try:
        read = json.loads(text)
    except RecursionError:
        raise ValueError("`arguments` are nested too deep") from None
    except ValueError:
        return
    if _deeper_than(read, depth):
        raise ValueError("`arguments` are nested too deep")


def _deeper_than(node: Any, depth: int) -> bool:
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return depth < 0 or any(_deeper_than(each, depth - 1) for each in inner)
