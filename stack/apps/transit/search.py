"""Earliest arrival by connection scan (logic).

Algorithm: J. Dibbelt, T. Pajor, B. Strasser, D. Wagner, "Connection Scan Algorithm", ACM JEA 23 (2018),
section 3. One pass over all connections in the order of departure; a connection can be taken when its run
was boarded before, or when its stop was reached in time. Changing takes `CHANGE_S` everywhere, boarding at
the origin takes none. Among the journeys of earliest arrival the one that leaves last is kept.
"""

from dataclasses import dataclass

from stack.apps.transit.timetable import Connection, Run, Timetable

CHANGE_S = 60


@dataclass(frozen=True)
class Leg:
    """One ride, from boarding to alighting."""

    run: Run
    from_stop: str
    to_stop: str
    depart_s: int
    arrive_s: int


def find_journey(timetable: Timetable, origin: str, destination: str, depart_s: int) -> tuple[Leg, ...]:
    """The journey of earliest arrival, and of latest departure among those; empty when there is none."""
    best = _scan(timetable, origin, destination, depart_s)
    while best:
        later = _scan(timetable, origin, destination, best[0].depart_s + 1)
        if not later or later[-1].arrive_s > best[-1].arrive_s:
            break
        best = later
    return best


def _scan(timetable: Timetable, origin: str, destination: str, depart_s: int) -> tuple[Leg, ...]:
    ready_s = {origin: depart_s}
    arrival_s: dict[str, int] = {}
    boarded: dict[int, Connection] = {}
    reached_by: dict[str, tuple[Connection, Connection]] = {}
    for connection in timetable.connections:
        if destination in arrival_s and connection.depart_s >= arrival_s[destination]:
            break
        if connection.run not in boarded:
            stop_ready_s = ready_s.get(connection.from_stop)
            if not connection.can_board or stop_ready_s is None or connection.depart_s < stop_ready_s:
                continue
            boarded[connection.run] = connection
        there = connection.to_stop
        if connection.can_alight and there != origin and (there not in arrival_s or connection.arrive_s < arrival_s[there]):
            arrival_s[there] = connection.arrive_s
            ready_s[there] = connection.arrive_s + CHANGE_S
            reached_by[there] = (boarded[connection.run], connection)
    return _trace_back(timetable, reached_by, destination)


def _trace_back(timetable: Timetable, reached_by: dict[str, tuple[Connection, Connection]], destination: str) -> tuple[Leg, ...]:
    legs: list[Leg] = []
    stop = destination
    while stop in reached_by:
        enter, leave = reached_by[stop]
        legs.insert(0, Leg(timetable.runs[enter.run], enter.from_stop, leave.to_stop, enter.depart_s, leave.arrive_s))
        stop = enter.from_stop
    return tuple(legs)
