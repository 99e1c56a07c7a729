"""Quotes that a model marked, turned into places in the text (logic)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, order=True)
class Span:
    """A labeled part of a text: Python character offsets (code points), `end` not included."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class Quote:
    """What the model said: a part of the text word for word, its label, and perhaps about where it starts."""

    quote: str
    label: str
    start: int | None = None


def span_schema(labels: Sequence[str]) -> dict[str, Any]:
    """The JSON Schema that the engine holds the answer to."""
    properties = {"start": {"type": "integer", "minimum": 0}, "quote": {"type": "string", "minLength": 1}, "label": {"enum": list(labels)}}
    return {"type": "array", "items": {"type": "object", "properties": properties, "required": ["quote", "label"], "additionalProperties": False}}


def locate(text: str, quotes: Sequence[Quote]) -> list[Span] | None:
    """Sorted spans, each once; None when a quote is not in the text.

    With a `start`: the occurrence nearest to it (models count badly), the earlier of two equally near. Without: the first that no
    earlier quote of the same words and label has taken; once all are taken it says nothing new.
    """
    found: set[Span] = set()
    for each in quotes:
        places = occurrences(text, each.quote)
        if not places:
            return None
        spans = [Span(place, place + len(each.quote), each.label) for place in places]
        if each.start is not None:
            wanted = each.start
            found.add(min(spans, key=lambda span: (abs(span.start - wanted), span.start)))
        else:
            found.update([span for span in spans if span not in found][:1])
    return sorted(found)


def occurrences(text: str, quote: str) -> list[int]:
    """Where the quote starts, overlapping occurrences included; none for an empty quote."""
    places: list[int] = []
    place = text.find(quote) if quote else -1
    while place >= 0:
        places.append(place)
        place = text.find(quote, place + 1)
    return places
