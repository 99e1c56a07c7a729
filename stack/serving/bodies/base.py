"""What every body is and can tell (pure)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo

from stack.serving.policy import Requests

CHARS_PER_TOKEN = 4
"""To estimate a prompt before anything counted it: about what tokenizers give for English text."""
MAX_NAME = 128

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Text = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True)
class Passage:
    """A text of a request: in which field it stands, and whether it comes from outside the application that sends it."""

    field: str
    text: str
    foreign: bool


class Body(BaseModel):
    # strict: "5" is no number and 1 no boolean, so that we and the engine cannot read a value differently.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Asked(Body):
    """A whole body."""

    model: Name
    user: Annotated[str, Field(max_length=MAX_NAME)] | None = None

    @property
    def prompts(self) -> tuple[int, ...]:
        """Characters of each prompt."""
        raise NotImplementedError

    def beginning(self) -> str:
        """Of the first prompt: what other requests are likely to share."""
        raise NotImplementedError

    def passages(self) -> Iterator[Passage]:
        """Every text that the model will read."""
        raise NotImplementedError

    def tokens(self, caps: Requests) -> int:  # noqa: ARG002  # answers are capped by them, where there are answers
        """An estimate, from characters by a rule of thumb."""
        return sum(math.ceil(chars / CHARS_PER_TOKEN) for chars in self.prompts)

    @property
    def asks_usage(self) -> bool:
        """Whether the answer will have the usage block without the gateway's help."""
        return True


def caps_of(info: ValidationInfo) -> Requests:
    if not isinstance(info.context, Requests):
        raise TypeError("bodies are validated with the policy's caps as context")
    return info.context


def at_most(field: str, value: int | None, cap: int) -> None:
    """ValueError naming `field`, its cap and the value."""
    if value is not None and value > cap:
        raise ValueError(f"field `{field}`: must be at most {cap}, got {value}")
