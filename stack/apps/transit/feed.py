"""What a GTFS feed says (models; no I/O). Field meanings: the GTFS Schedule reference, gtfs.org."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Stop:
    id: str
    name: str


@dataclass(frozen=True)
class Route:
    id: str
    short_name: str
    long_name: str


@dataclass(frozen=True)
class StopTime:
    """A call at a stop; times are seconds of the service day, already interpolated where the feed leaves them out."""

    stop_id: str
    arrive_s: int
    depart_s: int
    can_board: bool
    can_alight: bool


@dataclass(frozen=True)
class Headway:
    """A stretch of frequencies.txt: a trip starts every `every_s` from `start_s` until before `end_s`.

    `exact` False means that vehicles keep the interval but no timetable, so departure times are approximate.
    """

    start_s: int
    end_s: int
    every_s: int
    exact: bool


@dataclass(frozen=True)
class Trip:
    id: str
    route_id: str
    service_id: str
    headsign: str
    calls: tuple[StopTime, ...]
    headways: tuple[Headway, ...]


@dataclass(frozen=True)
class Service:
    """The days on which a service runs: weekdays (Monday first) between two dates, then exceptions."""

    weekdays: tuple[bool, ...]
    start: date | None
    end: date | None
    added: frozenset[date]
    removed: frozenset[date]

    def runs_on(self, day: date) -> bool:
        """calendar_dates.txt wins over calendar.txt."""
        if day in self.removed:
            return False
        if day in self.added:
            return True
        return self.start is not None and self.end is not None and self.start <= day <= self.end and self.weekdays[day.weekday()]


@dataclass(frozen=True)
class Feed:
    """A validated feed: every reference resolves, every trip has two or more calls in time order."""

    name: str
    sha256: str
    agency: str
    timezone: str
    stops: Mapping[str, Stop]
    routes: Mapping[str, Route]
    trips: tuple[Trip, ...]
    services: Mapping[str, Service]

    @property
    def first_day(self) -> date:
        return min(day for service in self.services.values() for day in (service.start, *service.added) if day)

    @property
    def last_day(self) -> date:
        return max(day for service in self.services.values() for day in (service.end, *service.added) if day)
