"""What of the answers goes into the samples beside their stamps (model)."""

from collections.abc import Callable
from dataclasses import dataclass

Counter = Callable[[str], int]


def no_counter() -> Counter | None:
    """Nothing is counted."""
    return None


@dataclass(frozen=True)
class Keep:
    """What of the answers' words goes into the samples: the `text` itself, and how many tokens the counter of `find_counter` finds in it.

    The counter is asked for once, after the load: a tokenizer takes longer to load than a load generator to start.
    """

    text: bool = False
    find_counter: Callable[[], Counter | None] = no_counter
