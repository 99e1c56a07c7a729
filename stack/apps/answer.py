"""What every app answers (models; no I/O): a text, where its facts come from, and what each tool was asked and said."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Frozen):
    """Where the facts of an answer come from."""

    title: str
    detail: str = Field(description="What identifies it: a version, a hash, the days it is valid for")


class ToolCall(Frozen):
    """One step on the way to an answer, the model's included."""

    tool: str
    arguments: dict[str, Any]
    result: Any


class Answer(Frozen):
    """The base of each app's answer."""

    text: str
    sources: tuple[Source, ...]
    tool_trace: tuple[ToolCall, ...]
