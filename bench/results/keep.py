"""What of the answers goes into the samples beside their stamps (model)."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Keep:
    """What of the answers' words goes into the samples: the `text` itself, and how many tokens `count_tokens` finds in it."""

    text: bool = False
    count_tokens: Callable[[str], int] | None = None
