"""`POST /v1/embeddings` (pure).

Text only. Lists of token numbers are refused: they mean other words in every model, and neither characters nor content could be
judged. `dimensions` is passed on: the engine refuses it for a model that was not trained for shorter vectors.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, model_validator

from stack.serving.bodies.base import Asked, Passage, Text, at_most, caps_of

MAX_DIMENSIONS = 1 << 14


class EmbeddingBody(Asked):
    input: Text | Annotated[list[Text], Field(min_length=1)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(default=None, ge=1, le=MAX_DIMENSIONS)

    @model_validator(mode="after")
    def _within_caps(self, info: ValidationInfo) -> Self:
        caps = caps_of(info)
        at_most("input: their number", len(self.prompts), caps.embedding_texts)
        at_most("input: its characters", sum(self.prompts), caps.text_chars)
        return self

    @cached_property
    def prompts(self) -> tuple[int, ...]:
        return tuple(map(len, self._texts()))

    def beginning(self) -> str:
        return self._texts()[0]

    def passages(self) -> Iterator[Passage]:
        # A text that is turned into a vector is not obeyed.
        return (Passage("input", text, foreign=False) for text in self._texts())

    def _texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input
