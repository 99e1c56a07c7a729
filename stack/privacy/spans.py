"""A place in a text that holds personal data, and which of several overlapping ones stands."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """Characters `start` to `end` (exclusive). `country` is ISO 3166 alpha-2, empty where the kind has none or it is not known.

    `rule` names what found it. `confidence` (0 to 1) orders overlapping spans and says how much stands behind one: 0.9 and more
    for a checksum or a structure that chance rarely meets, less for a cue word alone. It is declared, not a measured probability.
    """

    start: int
    end: int
    kind: str
    country: str = ""
    rule: str = ""
    confidence: float = 1.0


def resolve(spans: Iterable[Span]) -> list[Span]:
    """Non-overlapping spans in order of place: the most certain first, the longest among equals, then the first."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (-span.confidence, span.start - span.end, span.start, span.kind)):
        at = bisect_left(kept, span.start, key=lambda other: other.start)
        free_before = at == 0 or kept[at - 1].end <= span.start
        if free_before and (at == len(kept) or span.end <= kept[at].start):
            kept.insert(at, span)
    return kept
