"""How a limit says that it is reached (models)."""

from collections.abc import Iterable


class OverLimitError(Exception):
    """A limit is reached; `retry_after_s` is when it may be tried again, None for a request that never fits."""

    def __init__(self, reason: str, *, retry_after_s: float | None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class SlotsTakenError(OverLimitError):
    """All concurrent requests of the tenant are taken; one may end at any moment."""


def worst(found: Iterable[OverLimitError]) -> OverLimitError | None:
    """Of several limits that are reached, the one that says how long it really takes: never before one that takes longer, and that before any other."""
    return max(found, key=lambda each: float("inf") if each.retry_after_s is None else each.retry_after_s, default=None)
