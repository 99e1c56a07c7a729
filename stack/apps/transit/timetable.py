"""From a feed and a day to the connections that run (logic).

A timetable counts seconds from the start of its day. It holds the service days around it too: the day
before, whose trips may still run after midnight, and the day after, for who asks late in the evening.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from stack.apps.transit.feed import Feed, StopTime, Trip
from stack.apps.transit.times import DAY_S

SERVICE_DAYS = (-1, 0, 1)


@dataclass(frozen=True)
class Run:
    """One vehicle's journey: a trip on a service day, or one of its repetitions."""

    trip: Trip
    service_day: date
    shift_s: int
    every_s: int | None
    """The interval when the feed gives no exact times, so that times are approximate; else None."""

    def calls(self) -> Iterator[StopTime]:
        """Calls with times counted from the day of the timetable."""
        for call in self.trip.calls:
            yield StopTime(call.stop_id, call.arrive_s + self.shift_s, call.depart_s + self.shift_s, call.can_board, call.can_alight)


@dataclass(frozen=True)
class Connection:
    """A run between two consecutive calls."""

    depart_s: int
    arrive_s: int
    from_stop: str
    to_stop: str
    can_board: bool
    can_alight: bool
    run: int
    position: int


@dataclass(frozen=True)
class Timetable:
    """`connections` are in the order of departure; `Connection.run` is an index into `runs`."""

    day: date
    runs: tuple[Run, ...]
    connections: tuple[Connection, ...]


def build_timetable(feed: Feed, day: date) -> Timetable:
    """All that runs on `day` and on the service days around it."""
    runs = tuple(run for offset in SERVICE_DAYS for trip in feed.trips for run in _runs(feed, trip, day, offset))
    connections = [connection for index, run in enumerate(runs) for connection in _connections(index, run)]
    # Within a run the position keeps the order of calls at one and the same time.
    return Timetable(day, runs, tuple(sorted(connections, key=lambda each: (each.depart_s, each.position))))


def _runs(feed: Feed, trip: Trip, day: date, offset: int) -> Iterator[Run]:
    service_day = day + timedelta(days=offset)
    if not feed.services[trip.service_id].runs_on(service_day):
        return
    if not trip.headways:
        yield Run(trip, service_day, offset * DAY_S, None)
    first_departure_s = trip.calls[0].depart_s
    for headway in trip.headways:
        for start_s in range(headway.start_s, headway.end_s, headway.every_s):
            yield Run(trip, service_day, offset * DAY_S + start_s - first_departure_s, None if headway.exact else headway.every_s)


def _connections(index: int, run: Run) -> Iterator[Connection]:
    for position, (here, there) in enumerate(pairwise(run.calls())):
        yield Connection(here.depart_s, there.arrive_s, here.stop_id, there.stop_id, here.can_board, there.can_alight, index, position)
