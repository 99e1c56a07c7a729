"""Which plots a record gets, from its own figures and samples (logic over stored files)."""

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from stack.evidence import StoredRecord


@dataclass(frozen=True)
class Chart:
    """A plot with its caption; `legend` names the series in the order of their colours."""

    title: str
    svg: Markup
    caption: str = ""
    legend: tuple[str, ...] = ()


def charts(stored: StoredRecord) -> tuple[Chart, ...]:
    """The plots of a record; none for kinds that are best read as a table."""
    draw = _BY_KIND.get(stored.record.kind)
    return draw(stored) if draw else ()


_BY_KIND: dict[str, Callable[[StoredRecord], tuple[Chart, ...]]] = {}
