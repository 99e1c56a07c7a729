"""Find the day and the time in a question (logic): written dates, weekdays, clock times and the words for them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeVar

MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
HOURS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

_MONTH = "(?P<month>" + "|".join(f"{name[:3]}(?:{name[3:]})?" for name in MONTHS) + r")\.?"
_WEEKDAY = "(?P<weekday>" + "|".join(f"{name[:3]}(?:{name[3:]})?" for name in WEEKDAYS) + r")\b\.?,?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:,?\s+(?P<year>\d{4}))?"
_HOUR_WORD = "(?P<word>" + "|".join(HOURS[1:]) + ")"
_HALF = r"(?:\s*(?P<half>[ap])\.?m\b\.?|\s+(?:in\s+the\s+(?P<part>morning|afternoon|evening)|at\s+(?P<night>night)))"

# The first that matches wins. A preposition before it belongs to it, so that nothing of it is left to be read as a stop.
_DATES = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"(?:\bon\s+)?(?:\b{_WEEKDAY}\s*)?\b(?P<iso>\d{{4}}-\d{{2}}-\d{{2}})\b",
        rf"(?:\bon\s+)?(?:\b{_WEEKDAY}\s*)?\b(?:the\s+)?{_DAY}(?:\s+of)?\s+{_MONTH}{_YEAR}(?!\w)",
        rf"(?:\bon\s+)?(?:\b{_WEEKDAY}\s*)?\b{_MONTH}\s+{_DAY}{_YEAR}(?!\w)",
        rf"(?:\b(?:on|this|next)\s+)?(?:a\s+)?\b{_WEEKDAY}",
        r"\b(?P<relative>today|tomorrow)\b",
    )
)
_TIMES = tuple(
    re.compile(rf"(?:\b(?:at|after|from|by|around|about|earliest)\s+)?\b{form}", re.IGNORECASE)
    for form in (
        rf"(?P<hour>\d{{1,2}})[:.h](?P<minute>[0-5]\d)(?::[0-5]\d)?(?!\d){_HALF}?",
        rf"(?P<shift>half|quarter)\s+(?P<direction>past|to)\s+(?:{_HOUR_WORD}|(?P<hour>\d{{1,2}})|(?P<named>midnight|noon))\b{_HALF}?",
        rf"(?:(?P<hour>\d{{1,2}})|{_HOUR_WORD})\s*o\W?\s?clock\b{_HALF}?",
        rf"(?:(?P<hour>\d{{1,2}})|{_HOUR_WORD}){_HALF}",
        r"(?P<named>noon|midday|midnight)\b",
        # A bare hour only after a word that announces a time.
        r"(?<=at\s)(?P<hour>\d{1,2})\b(?!\s*[-/:.]?\d)",
    )
)
_Value = TypeVar("_Value")
LATEST_HOUR = 27  # a service day's night ends at the latest then; higher numbers are not times


@dataclass(frozen=True)
class When:
    """What a question says of day and time; `rest` is the question without those words."""

    day: date | None
    depart_s: int | None
    rest: str


def read_when(text: str, *, today: date) -> When:
    """Day and time of a question; a weekday alone is the first one on or after `today`, a date without year the one of `today`'s year."""
    day, rest = _first(_DATES, text, lambda match: _day(match, today))
    depart_s, rest = _first(_TIMES, rest, _seconds)
    return When(day, depart_s, " ".join(rest.split()))


def _first(patterns: tuple[re.Pattern[str], ...], text: str, read: Callable[[re.Match[str]], _Value | None]) -> tuple[_Value | None, str]:
    """The value of the first pattern that gives one, and the text without it."""
    for pattern in patterns:
        for match in pattern.finditer(text):
            value = read(match)
            if value is not None:
                return value, f"{text[: match.start()]} {text[match.end() :]}"
    return None, text


def _day(match: re.Match[str], today: date) -> date | None:
    groups = match.groupdict()
    try:
        if groups.get("iso"):
            return date.fromisoformat(groups["iso"])
        if groups.get("month"):
            month = 1 + next(index for index, name in enumerate(MONTHS) if name.startswith(groups["month"].lower()[:3]))
            return date(int(groups["year"] or today.year), month, int(groups["day"]))
    except ValueError:
        return None
    if groups.get("relative"):
        return today + timedelta(days=groups["relative"].lower() == "tomorrow")
    wanted = next(index for index, name in enumerate(WEEKDAYS) if name.startswith(groups["weekday"].lower()[:3]))
    return today + timedelta(days=(wanted - today.weekday()) % 7)


def _seconds(match: re.Match[str]) -> int | None:
    """Seconds of the day; None for an hour that no clock shows."""
    groups = match.groupdict()
    minutes = int(groups.get("minute") or 0)
    if shift := groups.get("shift"):
        minutes = (30 if shift.lower() == "half" else 15) * (1 if groups["direction"].lower() == "past" else -1)
    if named := groups.get("named"):
        hour = 0 if named.lower() == "midnight" else 12
    else:
        hour = int(groups["hour"]) if groups.get("hour") else HOURS.index(groups["word"].lower())
        in_twelve = groups.get("half") or groups.get("part") or groups.get("night")
        if hour > (12 if in_twelve else LATEST_HOUR):
            return None
        if in_twelve:
            hour = hour % 12 + (0 if _before_noon(in_twelve.lower(), hour) else 12)
    total = hour * 60 + minutes
    return (total if total >= 0 else total + 24 * 60) * 60


def _before_noon(word: str, hour: int) -> bool:
    """`night` is after midnight for twelve to four, in the evening otherwise."""
    return word in {"a", "morning"} or (word == "night" and hour in {12, 1, 2, 3, 4})
