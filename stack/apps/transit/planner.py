"""From slots to rides and to the sentence that tells them (logic). The sentence holds only what the rides and slots hold."""

from collections.abc import Mapping, Sequence

from stack.apps.transit.feed import Feed, Route
from stack.apps.transit.search import find_journey
from stack.apps.transit.times import calendar_day, clock, long_date
from stack.apps.transit.timetable import build_timetable
from stack.apps.transit.trips import Ride, Slots, Status

NOT_REAL_TIME = "This is the schedule, not real time."


def plan(feed: Feed, slots: Slots) -> tuple[Status, tuple[Ride, ...]]:
    """The best journey for the slots, or why there is none."""
    if slots.origin is None or slots.destination is None:
        return Status.UNKNOWN_STOP, ()
    if slots.origin == slots.destination:
        return Status.SAME_STOP, ()
    if not feed.first_day <= slots.day <= feed.last_day:
        return Status.OUTSIDE_FEED, ()
    legs = find_journey(build_timetable(feed, slots.day), slots.origin, slots.destination, slots.depart_s)
    rides = tuple(
        Ride(
            line=_line(feed.routes[leg.run.trip.route_id]),
            headsign=leg.run.trip.headsign,
            from_stop=leg.from_stop,
            to_stop=leg.to_stop,
            depart_s=leg.depart_s,
            arrive_s=leg.arrive_s,
            every_s=leg.run.every_s,
        )
        for leg in legs
    )
    return (Status.FOUND if rides else Status.NO_TRIP), rides


def tell(feed: Feed, labels: Mapping[str, str], slots: Slots, status: Status, rides: Sequence[Ride]) -> str:
    """The answer as sentences; `labels` are the names of stops as they are shown."""
    return f"{_tell(feed, labels, slots, status, rides)}{_assumed(slots)} {NOT_REAL_TIME}"


def _tell(feed: Feed, labels: Mapping[str, str], slots: Slots, status: Status, rides: Sequence[Ride]) -> str:
    day = long_date(slots.day)
    if slots.origin is None or slots.destination is None:
        known = slots.origin or slots.destination
        missing = "the stop to start from" if slots.origin is None else "the stop to go to"
        return f"I know {labels[known]}, but not {missing}." if known else "I know none of the stops in the question."
    origin, destination = labels[slots.origin], labels[slots.destination]
    if status == Status.SAME_STOP:
        return f"The trip starts and ends at {origin}: there is nothing to ride."
    if status == Status.OUTSIDE_FEED:
        return f"Nothing is known of {day}: the timetable holds from {long_date(feed.first_day)} to {long_date(feed.last_day)}."
    if status == Status.NO_TRIP:
        return f"There is no trip from {origin} to {destination} after {clock(slots.depart_s)} on {day} or on the day after."
    moments = _moments(slots, rides)
    told = [
        f"take {ride.line} at {leaves}{_interval(ride)} to {labels[ride.to_stop]}, arriving at {arrives}"
        for ride, leaves, arrives in zip(rides, moments[::2], moments[1::2], strict=True)
    ]
    return f"From {origin} to {destination} on {day}: {'; then '.join(told)}."


def _interval(ride: Ride) -> str:
    return f" (about every {ride.every_s / 60:g} min)" if ride.every_s else ""


def _moments(slots: Slots, rides: Sequence[Ride]) -> list[str]:
    """Every departure and arrival in order; the calendar day is said where it is another than the one said before."""
    said, moments = slots.day, []
    for at in (seconds for ride in rides for seconds in (ride.depart_s, ride.arrive_s)):
        day = calendar_day(slots.day, at)
        moments.append(clock(at) if day == said else f"{clock(at)} on {long_date(day)}")
        said = day
    return moments


def _assumed(slots: Slots) -> str:
    missing = [name for name, given in (("day", slots.day_given), ("time", slots.time_given)) if not given]
    taken = {"day": long_date(slots.day), "time": "the start of the day"}
    return f" The question gives no {' and no '.join(missing)}: taken as {' and '.join(taken[name] for name in missing)}." if missing else ""


def _line(route: Route) -> str:
    """`line 20 (Bullfrog - Furnace Creek Resort)`, or what of it the feed has."""
    short, long = route.short_name, route.long_name
    return f"line {short} ({long})" if short and long else f"line {short or long or route.id}"
