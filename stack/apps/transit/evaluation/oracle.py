"""The best journey by exhaustion (logic): the measure for the search, and built without any of its ideas.

Every boarding of every run from every stop and time that can be reached is tried. Only states that are no
earlier than the best arrival known are dropped, since riding on cannot make them earlier.
"""

from bisect import bisect_left
from collections.abc import Iterator

from stack.apps.transit.feed import StopTime
from stack.apps.transit.timetable import Timetable

Rides = dict[str, list[tuple[int, tuple[StopTime, ...]]]]
"""By stop: departures in order of time, each with the calls that follow on its run."""


def best_times(timetable: Timetable, origin: str, destination: str, depart_s: int, *, change_s: int) -> tuple[int, int] | None:
    """Departure and arrival in seconds: earliest arrival, and the latest departure that still reaches it; None when there is no way."""
    rides = _rides(timetable)
    arrive_s = _earliest(rides, origin, destination, depart_s, change_s)
    if arrive_s is None:
        return None
    starts = sorted({at for at, _ in rides.get(origin, ()) if depart_s <= at <= arrive_s}, reverse=True)
    return next((start, arrive_s) for start in starts if _earliest(rides, origin, destination, start, change_s) == arrive_s)


def _rides(timetable: Timetable) -> Rides:
    found: Rides = {}
    for run in timetable.runs:
        calls = tuple(run.calls())
        for index, call in enumerate(calls[:-1]):
            if call.can_board:
                found.setdefault(call.stop_id, []).append((call.depart_s, calls[index + 1 :]))
    return {stop: sorted(departures, key=lambda departure: departure[0]) for stop, departures in found.items()}


def _earliest(rides: Rides, origin: str, destination: str, depart_s: int, change_s: int) -> int | None:
    best: int | None = None
    open_states, seen = [(depart_s, origin)], {(depart_s, origin)}
    while open_states:
        ready_s, stop = open_states.pop()
        for call in _reached(rides, stop, ready_s):
            if not call.can_alight or (best is not None and call.arrive_s >= best):
                continue
            state = (call.arrive_s + change_s, call.stop_id)
            if call.stop_id == destination:
                best = call.arrive_s
            elif state not in seen:
                seen.add(state)
                open_states.append(state)
    return best


def _reached(rides: Rides, stop: str, ready_s: int) -> Iterator[StopTime]:
    departures = rides.get(stop, [])
    for _, calls in departures[bisect_left(departures, ready_s, key=lambda departure: departure[0]) :]:
        yield from calls
