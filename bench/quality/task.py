"""Reading a task file: one JSON object a line (edge). docs/quality.md describes the fields."""

import hashlib
import json
import re
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from bench.errors import BenchError
from bench.frozen import Frozen
from bench.quality.models import Expected, Item, Score, TaskInfo
from bench.workload.prompts import Quality
from stack.runtime.errors import describe_validation

FIELD = "field `quality.file`"

Words = Annotated[str, Field(min_length=1)]


class _Line(Frozen):
    id: Words | None = None
    prompt: Words
    system: Words | None = None


class _Exact(_Line):
    answer: Words | Annotated[tuple[Words, ...], Field(min_length=1)]

    def expected(self) -> Expected:
        return Expected(answers=_several(self.answer))


class _Regex(_Line):
    pattern: Words
    answer: Words | Annotated[tuple[Words, ...], Field(min_length=1)] | None = None

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern

    def expected(self) -> Expected:
        return Expected(pattern=self.pattern, answers=() if self.answer is None else _several(self.answer))


class _Choice(_Line):
    choices: tuple[Words, ...] = Field(min_length=2)
    answer: Words

    @model_validator(mode="after")
    def _one_of_them(self) -> "_Choice":
        if self.answer not in self.choices or len(set(self.choices)) < len(self.choices):
            raise ValueError("answer must be one of choices, which must differ")
        if self.system is not None:
            raise ValueError("system: a choice is scored as plain text, which has no system message")
        return self

    def expected(self) -> Expected:
        return Expected(answers=(self.answer,), choices=self.choices)


_FORMS: dict[Score, TypeAdapter[Any]] = {"exact_match": TypeAdapter(_Exact), "regex": TypeAdapter(_Regex), "choice_logprob": TypeAdapter(_Choice)}


def read_task(quality: Quality) -> tuple[TaskInfo, tuple[Item, ...]]:
    """The questions in the order of the file, at most `limit`; BenchError names the line and the field that is wrong."""
    try:
        data = quality.file.read_bytes()
        lines = data.decode().splitlines()
    except OSError as error:
        raise BenchError(f"{FIELD}: {quality.file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BenchError(f"{FIELD}: {quality.file}: not UTF-8 text") from None
    items = [_item(quality, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    names = [item.id for item in items]
    if not items:
        raise BenchError(f"{FIELD}: {quality.file}: holds no question")
    if len(set(names)) < len(names):
        raise BenchError(f"{FIELD}: {quality.file}: id {next(name for name in names if names.count(name) > 1)!r} stands twice")
    chosen = tuple(items[: quality.limit])
    info = TaskInfo(file=quality.file.name, sha256=hashlib.sha256(data).hexdigest(), score=quality.score, max_tokens=quality.max_tokens, items=len(chosen))
    return info, chosen


def _item(quality: Quality, number: int, line: str) -> Item:
    source = f"{FIELD}: {quality.file} line {number}"
    try:
        read = _FORMS[quality.score].validate_python(json.loads(line))
    except ValidationError as error:
        raise BenchError(f"{describe_validation(error, source=source)} (score {quality.score})") from None
    except ValueError as error:
        raise BenchError(f"{source}: not JSON: {error}") from None
    return Item(id=read.id or f"line-{number}", prompt=read.prompt, system=read.system, expected=read.expected())


def _several(answer: str | tuple[str, ...]) -> tuple[str, ...]:
    return (answer,) if isinstance(answer, str) else answer
