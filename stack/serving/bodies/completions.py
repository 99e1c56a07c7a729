"""`POST /v1/completions` (pure)."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from stack.serving.bodies.base import Passage, Text, at_most, tokens_of
from stack.serving.bodies.sampling import Sampling
from stack.serving.policy import Requests


class CompletionBody(Sampling, frozen=True, kw_only=True):
    prompt: Text | Annotated[list[Text], Meta(min_length=1)]
    echo: bool | None = None
    logprobs: Annotated[int, Meta(ge=0)] | None = None

    def tokens(self, caps: Requests) -> int:
        self.check_sampling(caps)
        texts = self._texts()
        at_most("prompt: their number", len(texts), caps.choices)
        at_most("prompt: its characters", sum(map(len, texts)), caps.text_chars)
        at_most("logprobs", self.logprobs, caps.logprobs)
        return sum(tokens_of(len(text)) + self.answer_tokens(self.max_tokens, caps) for text in texts)

    def beginning(self) -> str:
        return self._texts()[0]

    def passages(self) -> Iterator[Passage]:
        for text in self._texts():
            yield Passage("prompt", text, foreign=True)
        yield from self.forms()

    def _texts(self) -> list[str]:
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt
