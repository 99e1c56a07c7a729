"""Schedule times (logic): seconds since the start of a service day, which may run past midnight.

GTFS counts from "noon minus 12 h" of the service day, so 24:30:00 is half past midnight of the next
calendar day. On days when clocks change this differs from midnight by an hour; like the printed
schedule, we show the written time and make no conversion.
"""

import re
from datetime import date, timedelta

DAY_S = 86_400
_TIME = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d)")


def parse_time(text: str) -> int:
    """`H:MM:SS`, `HH:MM:SS` or `HHH:MM:SS` to seconds; ValueError for anything else."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a time as HH:MM:SS: {text[:20]!r}")
    hours, minutes, seconds = (int(part) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def clock(seconds: int) -> str:
    """Wall clock of any day: `HH:MM`, with `:SS` only where the schedule has seconds."""
    minutes, rest = divmod(seconds % DAY_S, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}" + (f":{rest:02d}" if rest else "")


def calendar_day(day: date, seconds: int) -> date:
    """The calendar day on which a time counted from `day` falls."""
    return day + timedelta(days=seconds // DAY_S)


def long_date(day: date) -> str:
    """As a sentence says it: `Monday 4 June 2007`."""
    return f"{day:%A} {day.day} {day:%B %Y}"
