from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise, permutations
from pathlib import Path

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.apps.transit import read_feed
from stack.apps.transit.evaluation.oracle import best_times
from stack.apps.transit.feed import Feed, Headway, Route, Service, Stop, StopTime, Trip
from stack.apps.transit.search import CHANGE_S, Leg, find_journey
from stack.apps.transit.times import clock
from stack.apps.transit.timetable import Timetable, build_timetable

DAY = date(2024, 1, 3)
STOPS = "ABCDE"


def network(trips: list[Trip]) -> Feed:
    every_day = Service((True,) * 7, DAY - timedelta(days=9), DAY + timedelta(days=9), frozenset(), frozenset())
    return Feed("random", "", "", "UTC", {stop: Stop(stop, stop) for stop in STOPS}, {"R": Route("R", "1", "")}, tuple(trips), {"S": every_day})


@st.composite
def trips(draw: st.DrawFn) -> list[Trip]:
    """Up to seven trips of a small network: waits, rides of no time, calls that let nobody in or out, repetitions, nights."""
    found = []
    for number in range(draw(st.integers(1, 7))):
        at = draw(st.integers(0, 30)) * 600
        calls = []
        for stop in draw(st.lists(st.sampled_from(STOPS), min_size=2, max_size=5)):
            arrive_s = at + draw(st.sampled_from((0, 60, 300, 600, 40_000)))
            at = arrive_s + draw(st.sampled_from((0, 0, 30, 120)))
            calls.append(StopTime(stop, arrive_s, at, draw(st.booleans()) or draw(st.booleans()), draw(st.booleans()) or draw(st.booleans())))
        headways = draw(st.sampled_from(((), (Headway(0, 3600, 1200, exact=False),))))
        found.append(Trip(str(number), "R", "S", "", tuple(calls), headways))
    return found


def assert_rideable(timetable: Timetable, legs: tuple[Leg, ...]) -> None:
    for leg in legs:
        calls = list(leg.run.calls())
        board = [index for index, call in enumerate(calls) if (call.stop_id, call.depart_s) == (leg.from_stop, leg.depart_s) and call.can_board]
        alight = [index for index, call in enumerate(calls) if (call.stop_id, call.arrive_s) == (leg.to_stop, leg.arrive_s) and call.can_alight]
        assert board
        assert alight
        assert min(board) < max(alight)
        assert leg.run in timetable.runs
    for before, after in pairwise(legs):
        assert before.to_stop == after.from_stop
        assert before.arrive_s + CHANGE_S <= after.depart_s


@settings(max_examples=examples(150))
@given(trips(), st.permutations(STOPS), st.integers(0, 100_000))
def test_the_search_finds_what_trying_everything_finds(made: list[Trip], ends: list[str], depart_s: int) -> None:
    timetable = build_timetable(network(made), DAY)
    origin, destination = ends[:2]
    legs = find_journey(timetable, origin, destination, depart_s)
    assert_rideable(timetable, legs)
    found = (legs[0].depart_s, legs[-1].arrive_s) if legs else None
    assert found == best_times(timetable, origin, destination, depart_s, change_s=CHANGE_S)
    if legs:
        assert (legs[0].from_stop, legs[-1].to_stop) == (origin, destination)
        assert legs[0].depart_s >= depart_s


@pytest.mark.slow
def test_the_search_agrees_with_trying_everything_on_the_shipped_feed(feed: Feed) -> None:
    timetable = build_timetable(feed, date(2007, 6, 9))
    for origin, destination in permutations(feed.stops, 2):
        legs = find_journey(timetable, origin, destination, 7 * 3600)
        assert_rideable(timetable, legs)
        found = (legs[0].depart_s, legs[-1].arrive_s) if legs else None
        assert found == best_times(timetable, origin, destination, 7 * 3600, change_s=CHANGE_S)


def journey(feed: Feed, day: date, origin: str, destination: str, depart_s: int) -> list[tuple[str, str, str]]:
    legs = find_journey(build_timetable(feed, day), origin, destination, depart_s)
    return [(leg.run.trip.id, clock(leg.depart_s), clock(leg.arrive_s)) for leg in legs]


def test_a_journey_with_changes_leaves_no_earlier_than_it_must(feed: Feed) -> None:
    # A shuttle leaves at 07:00 too, and would wait half an hour longer for the same bus at 08:00.
    assert journey(feed, date(2007, 6, 6), "STAGECOACH", "FUR_CREEK_RES", 7 * 3600) == [
        ("STBA", "07:30", "07:50"),
        ("AB1", "08:00", "08:10"),
        ("BFC1", "08:20", "09:20"),
    ]


def test_on_a_day_without_service_the_next_day_is_offered(feed: Feed) -> None:
    legs = find_journey(build_timetable(feed, date(2007, 6, 4)), "BEATTY_AIRPORT", "BULLFROG", 7 * 3600)
    assert [(leg.run.service_day, clock(leg.depart_s)) for leg in legs] == [(date(2007, 6, 5), "08:00")]


def test_a_trip_of_yesterday_is_caught_after_midnight(make_zip: Callable[..., Path]) -> None:
    feed = read_feed(make_zip())
    friday_night, saturday = date(2024, 1, 5), date(2024, 1, 6)
    assert journey(feed, friday_night, "A", "C", 23 * 3600) == [("T", "23:50", "00:30")]
    # The service runs on weekdays, and its Friday trip is still on the road on Saturday at 00:10.
    assert journey(feed, saturday, "B", "C", 300) == [("T", "00:10", "00:30")]
    assert journey(feed, saturday, "A", "C", 300) == []
