"""What every body is and can tell (pure)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct

from stack.serving.policy import Requests

CHARS_PER_TOKEN = 4
"""To estimate a prompt before anything counted it: about what tokenizers give for English text."""
MAX_NAME = 128

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Text = Annotated[str, Meta(min_length=1)]


@dataclass(frozen=True)
class Passage:
    """A text of a request: in which field it stands, and whether it comes from outside the application that sends it."""

    field: str
    text: str
    foreign: bool


class Body(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Closed and strict: "5" is no number and 1 no boolean, so that we and the engine cannot read a value differently.

    Structs, because every request waits for its body: between other work a pydantic model costs 170 us, this 40.
    """


class Asked(Body, frozen=True, kw_only=True):
    """A whole body."""

    model: Name
    user: Annotated[str, Meta(max_length=MAX_NAME)] | None = None

    def tokens(self, caps: Requests) -> int:
        """An estimate of what it may come to, from characters by a rule of thumb; ValueError naming the field that goes beyond the caps."""
        raise NotImplementedError

    def beginning(self) -> str:
        """Of the first prompt: what other requests are likely to share."""
        raise NotImplementedError

    def passages(self) -> Iterator[Passage]:
        """Every text that the model will read."""
        raise NotImplementedError

    @property
    def asks_usage(self) -> bool:
        """Whether the answer will have the usage block without the gateway's help."""
        return True


def tokens_of(chars: int) -> int:
    return -(-chars // CHARS_PER_TOKEN)


def at_most(field: str, value: int | None, cap: int) -> None:
    """ValueError naming `field`, its cap and the value."""
    if value is not None and value > cap:
        raise ValueError(f"field `{field}`: must be at most {cap}, got {value}")
