"""What every source of live values gives (models; no I/O)."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Reading(NamedTuple):
    """One value of a metric of `METRICS`; `labels` are the values of its label names, in their order."""

    metric: str
    value: float
    labels: tuple[str, ...] = ()


class Reader(Protocol):
    """A source that is asked again and again; it may keep what it opened."""

    def read(self) -> tuple[Reading, ...]:
        """All that answers; UnreadableError (of `tree`), with a reason to show, when nothing does."""
        ...


@dataclass(frozen=True)
class Source:
    """A reader under the name that `stackproof_source_up` tells of it."""

    name: str
    reader: Reader
