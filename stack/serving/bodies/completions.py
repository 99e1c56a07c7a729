"""`POST /v1/completions` (pure)."""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Self

from pydantic import Field, ValidationInfo, model_validator

from stack.serving.bodies.base import Passage, Text, at_most, caps_of
from stack.serving.bodies.sampling import Sampling


class CompletionBody(Sampling):
    prompt: Text | Annotated[list[Text], Field(min_length=1)]
    echo: bool | None = None
    logprobs: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _completion_within_caps(self, info: ValidationInfo) -> Self:
        caps = caps_of(info)
        at_most("prompt: their number", len(self.prompts), caps.choices)
        at_most("prompt: its characters", sum(self.prompts), caps.text_chars)
        at_most("logprobs", self.logprobs, caps.logprobs)
        return self

    @cached_property
    def prompts(self) -> tuple[int, ...]:
        return tuple(map(len, self._texts()))

    def beginning(self) -> str:
        return self._texts()[0]

    def passages(self) -> Iterator[Passage]:
        return (Passage("prompt", text, foreign=True) for text in self._texts())

    def _texts(self) -> list[str]:
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt
