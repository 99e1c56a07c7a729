"""Texts made plain for the patterns: any script's digits become 0-9, look-alikes of separators ASCII, invisible marks go.

Only the copy that is searched is folded; places are told in the text as it was.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

SEPARATOR = "\x00"
"""Stands between joined texts: no pattern of this layer matches it."""

_LOOK_ALIKES = {"\u00a0": " ", "\u2007": " ", "\u2009": " ", "\u202f": " ", "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2212": "-"}
_FULL_WIDTH = {chr(code + 0xFEE0): chr(code) for code in range(0x21, 0x7F)}
_DIGITS = {chr(code): str(unicodedata.digit(chr(code))) for code in range(0x80, 0x1FBFA) if unicodedata.category(chr(code)) == "Nd"}
_PLAIN = _LOOK_ALIKES | _FULL_WIDTH | _DIGITS
_UNPLAIN = re.compile("[" + "".join(map(re.escape, _PLAIN)) + "]")
_MARKS = re.compile("[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Direction marks, zero-width characters and soft hyphens: they can split a number without anyone seeing it."""


@dataclass(frozen=True)
class Joined:
    """Several folded texts in one; `starts` are their first characters in it, `places` original positions of those that lost marks."""

    text: str
    starts: Sequence[int]
    places: dict[int, list[int]]

    def original(self, number: int, start: int, end: int) -> tuple[int, int]:
        """A place of the joined text, in text `number` as it was given."""
        start, end = start - self.starts[number], end - self.starts[number]
        places = self.places.get(number)
        return (places[start], places[end - 1] + 1) if places else (start, end)


def join(texts: Sequence[str]) -> Joined:
    """Fold and join; nearly free for texts in ASCII."""
    places: dict[int, list[int]] = {}
    folded = list(texts)
    for number, text in enumerate(texts):
        if text.isascii():
            continue
        if _MARKS.search(text):
            places[number] = [place for place, letter in enumerate(text) if not _MARKS.match(letter)]
            text = _MARKS.sub("", text)  # noqa: PLW2901 -- the copy that is searched
        folded[number] = _UNPLAIN.sub(_plain, text)
    starts = list(accumulate((len(text) + 1 for text in folded[:-1]), initial=0))
    return Joined(SEPARATOR.join(folded), starts, places)


def _plain(match: re.Match[str]) -> str:
    return _PLAIN[match[0]]
