"""`POST /v1/embeddings` (pure).

Text only. Lists of token numbers are refused: they mean other words in every model, and neither characters nor content could be
judged. `dimensions` is passed on: the engine refuses it for a model that was not trained for shorter vectors.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from stack.serving.bodies.base import Asked, Passage, Text, at_most, tokens_of
from stack.serving.policy import Requests

MAX_DIMENSIONS = 1 << 14


class EmbeddingBody(Asked, frozen=True, kw_only=True):
    input: Text | Annotated[list[Text], Meta(min_length=1)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1, le=MAX_DIMENSIONS)] | None = None

    def tokens(self, caps: Requests) -> int:
        texts = self._texts()
        at_most("input: their number", len(texts), caps.embedding_texts)
        at_most("input: its characters", sum(map(len, texts)), caps.text_chars)
        return sum(tokens_of(len(text)) for text in texts)

    def beginning(self) -> str:
        return self._texts()[0]

    def passages(self) -> Iterator[Passage]:
        # A text that is turned into a vector is not obeyed.
        return (Passage("input", text, foreign=False) for text in self._texts())

    def _texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input
