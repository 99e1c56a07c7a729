"""Runs of digits: one pattern finds them, and only then phones, cards and national numbers are tried on them and on their parts."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stack.privacy.cards import card_scheme
from stack.privacy.fold import SEPARATOR
from stack.privacy.national import RULES, NationalId
from stack.privacy.phones import DIGITS, phone_confidence
from stack.privacy.spans import Span

CUE_WINDOW = 40
"""Characters before a number in which a cue word counts."""
LONG = 13
"""Characters from which a comma or slash beside a number parts fields ("4111111111111111,5"), not thousands or decimals."""
GROUPS_MOST = 12
"""Groups of digits tried together: a table of figures would cost the square of its length otherwise."""

_RUN = re.compile(r"[0-9](?:[ .()/+\-]{0,3}[0-9]){5,}")
_GROUP = re.compile(r"[0-9]+")
_TAIL = re.compile(r"(?:[AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}|[A-FU-Y][0-9]{3}[0-9A-Y]|-?[A-Z])(?![0-9A-Za-z])")


@dataclass(frozen=True)
class Wanted:
    """What is tried on a run of digits."""

    phone: bool
    card: bool
    ids: Mapping[int, Sequence[NationalId]]
    """By count of letters and digits."""
    regions: Sequence[str]


def wanted(kinds: Collection[str], countries: Collection[str] | None, regions: Sequence[str]) -> Wanted:
    """The rules of `kinds`, of `countries` alone when given."""
    ids: dict[int, list[NationalId]] = {}
    for rule in RULES if "national_id" in kinds else ():
        if countries is None or rule.country in countries:
            for length in rule.lengths:
                ids.setdefault(length, []).append(rule)
    return Wanted("phone" in kinds, "card" in kinds, ids, regions)


def numbers(text: str, rules: Wanted) -> Iterator[Span]:
    """Spans in every run of six or more digits."""
    for run in _RUN.finditer(text):
        yield from _in_run(text, run.start(), run.end(), rules)


def _in_run(text: str, start: int, end: int, rules: Wanted) -> Iterator[Span]:
    """The longest parts first; a part is cut off only at a wide or different separator (see `_may_cut`)."""
    groups = [match.span() for match in _GROUP.finditer(text, start, end)]
    tail = _TAIL.match(text, end)
    taken = -1
    for first in range(len(groups)):
        if groups[first][0] < taken or (first and not _may_cut(text, groups, first)):
            continue
        for last in range(min(len(groups), first + GROUPS_MOST) - 1, first - 1, -1):
            if last + 1 < len(groups) and not _may_cut(text, groups, last + 1):
                continue
            ends = [tail.end(), end] if tail and last == len(groups) - 1 else [groups[last][1]]
            span = next((span for stop in ends if (span := _whole(text, groups[first][0], stop, rules))), None)
            if span:
                yield span
                taken = span.end
                break


def _may_cut(text: str, groups: Sequence[tuple[int, int]], at: int) -> bool:
    """Whether a number may end before group `at`: not inside evenly parted groups of one length, and not at a dot or hyphen."""
    between = text[groups[at - 1][1] : groups[at][0]]
    if " " not in between and "/" not in between and "(" not in between and "+" not in between:
        return False
    lengths = [end - start for start, end in groups[at - 1 : at + 1]]
    return between != " " or lengths[0] != lengths[1] or lengths[0] > 5


def _whole(text: str, start: int, end: int, rules: Wanted) -> Span | None:
    """The best reading of one part as a whole number."""
    if not _stands_alone(text, start, end):
        return None
    raw = text[start:end]
    before = text[max(0, start - CUE_WINDOW) : start].rsplit(SEPARATOR, 1)[-1]
    plus = before.endswith(("+", "+ ", "+("))
    if not plus:
        best = max((span for span in _identifiers(raw, start, before, rules)), key=lambda span: span.confidence, default=None)
        if best:
            return best
    return _phone(text, start, end, before, rules) if rules.phone else None


def _identifiers(raw: str, start: int, before: str, rules: Wanted) -> Iterator[Span]:
    end = start + len(raw)
    if rules.card and len(raw) >= 13 and (scheme := card_scheme(raw)):
        yield Span(start, end, "card", "", scheme, 0.95)
    for rule in rules.ids.get(sum(map(str.isalnum, raw)), ()):
        if confidence := rule.matches(raw, before):
            yield Span(start, end, "national_id", rule.country, rule.rule, confidence)


def _phone(text: str, start: int, end: int, before: str, rules: Wanted) -> Span | None:
    lead = len(before) - len(before.rstrip("+( "))
    opening = before[len(before) - lead :].lstrip(" ")
    begin = start - len(opening)
    raw = text[begin:end]
    if sum(letter.isdigit() for letter in raw) not in DIGITS or raw[-1].isalpha():
        return None
    confidence, country = phone_confidence(raw.lstrip("(") if raw.startswith("(+") else raw, before[: len(before) - lead], rules.regions)
    return Span(begin, end, "phone", country, "numbering_plan", confidence) if confidence else None


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Not a piece of a longer word, code, decimal or price."""
    joints = ".-" if end - start >= LONG else ".,-/"
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    if before and (before[-1].isalnum() or before[-1] in "_$€£¥₹#" or _joined(before[::-1], joints + ":")):
        return before[-1] == ":" or (before[-1] == "." and before[0].isalpha()) or _is_wide(before[-1])
    return not after or not ((after[0].isalnum() and not _is_wide(after[0])) or after[0] in "_%" or _joined(after, joints))


def _joined(beside: str, joints: str) -> bool:
    """Whether one of the joints and a letter or digit follow; a comma joins figures alone."""
    return len(beside) > 1 and beside[0] in joints and (beside[1].isdigit() if beside[0] == "," else beside[1].isalnum())


def _is_wide(letter: str) -> bool:
    """A letter of a script that is written without spaces between words."""
    return "\u0e00" <= letter <= "\u0eff" or "\u2e80" <= letter <= "\uffdc" or "\u1000" <= letter <= "\u109f"
