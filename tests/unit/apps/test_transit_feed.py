import tempfile
import zipfile
from collections.abc import Callable
from datetime import date
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.apps import AppError
from stack.apps.transit import read_feed
from stack.apps.transit.feed import Feed
from stack.apps.transit.times import clock, parse_time
from stack.apps.transit.timetable import build_timetable

MakeZip = Callable[..., Path]


@given(st.integers(0, 400 * 3600))
def test_a_time_survives_being_written_and_read(seconds: int) -> None:
    assert parse_time(f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}") == seconds


@given(st.text(max_size=12))
def test_any_other_text_is_no_time_and_nothing_worse(text: str) -> None:
    try:
        seconds = parse_time(text)
    except ValueError:
        return
    assert seconds >= 0
    assert text.strip().count(":") == 2


def test_a_clock_shows_seconds_only_where_there_are_some() -> None:
    assert [clock(0), clock(86_399), clock(24 * 3600 + 30 * 60), clock(3605)] == ["00:00", "23:59:59", "00:30", "01:00:05"]


def test_the_shipped_feed_is_the_one_its_notice_names(feed: Feed) -> None:
    assert feed.sha256 in (files("stack.apps.transit") / "data" / "NOTICE-sample-feed-1").read_text()
    assert (len(feed.stops), len(feed.routes), len(feed.trips)) == (9, 5, 11)
    assert (feed.first_day, feed.last_day) == (date(2007, 1, 1), date(2010, 12, 31))


def test_an_exception_takes_a_service_out_on_its_day_alone(feed: Feed) -> None:
    full_week, weekend = feed.services["FULLW"], feed.services["WE"]
    assert [full_week.runs_on(date(2007, 6, day)) for day in (3, 4, 5)] == [True, False, True]
    assert [weekend.runs_on(date(2007, 6, day)) for day in (8, 9, 10, 11)] == [False, True, True, False]
    assert not full_week.runs_on(date(2011, 1, 1))


def test_a_service_may_run_on_added_days_alone(make_zip: MakeZip) -> None:
    feed = read_feed(make_zip(calendar=None, calendar_dates="service_id,date,exception_type\nS,20240229,1\n"))
    assert feed.first_day == feed.last_day == date(2024, 2, 29)
    assert feed.services["S"].runs_on(date(2024, 2, 29))


def test_a_frequency_repeats_the_trip_until_before_its_end(feed: Feed) -> None:
    timetable = build_timetable(feed, date(2007, 6, 6))
    shuttle = [run for run in timetable.runs if run.trip.id == "STBA" and run.service_day == date(2007, 6, 6)]
    starts = [next(run.calls()).depart_s for run in shuttle]
    assert starts == list(range(6 * 3600, 22 * 3600, 1800))
    assert {run.every_s for run in shuttle} == {1800}


def test_a_repeated_trip_keeps_the_times_between_its_calls(feed: Feed) -> None:
    run = next(run for run in build_timetable(feed, date(2007, 6, 6)).runs if run.trip.id == "CITY2" and run.service_day == date(2007, 6, 6))
    calls = list(run.calls())
    # The trip is written from 06:28 on and leaves at 06:30; frequencies.txt says that the first leaves at 06:00.
    assert (clock(calls[0].arrive_s), clock(calls[0].depart_s), clock(calls[-1].arrive_s)) == ("05:58", "06:00", "06:26")


def test_times_left_out_are_spread_evenly(make_zip: MakeZip) -> None:
    rows = "trip_id,arrival_time,departure_time,stop_id,stop_sequence\nT,8:00:00,8:10:00,A,1\nT,,,B,2\nT,,,C,3\nT,8:40:00,,A,9\n"
    (trip,) = read_feed(make_zip(stop_times=rows)).trips
    assert [clock(call.arrive_s) for call in trip.calls] == ["08:00", "08:20", "08:30", "08:40"]
    assert trip.calls[-1].depart_s == trip.calls[-1].arrive_s


def test_calls_are_in_the_order_of_their_sequence_numbers_and_short_rows_are_whole(make_zip: MakeZip) -> None:
    rows = "\ufefftrip_id,arrival_time,departure_time,stop_id,stop_sequence,pickup_type\r\nT,9:00:00,9:00:00,B,100\r\nT,8:00:00,8:00:00,A,20,1\r\n\r\n"
    (trip,) = read_feed(make_zip(stop_times=rows)).trips
    assert [(call.stop_id, call.can_board) for call in trip.calls] == [("A", False), ("B", True)]


HEAD = "trip_id,arrival_time,departure_time,stop_id,stop_sequence\n"


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"stops": None}, "stops.txt is missing"),
        ({"agency": "agency_name,agency_timezone\n"}, "agency.txt: has no row"),
        ({"stop_times": f"{HEAD}T,8:61:00,8:61:00,A,1\nT,9:00:00,9:00:00,B,2\n"}, "stop_times.txt line 2: field `arrival_time`: not a time as HH:MM:SS"),
        ({"stop_times": f"{HEAD}T,8:00:00,8:00:00,A,1\nT,7:00:00,7:00:00,B,2\n"}, "stop_times.txt line 3: field `arrival_time`: goes back in time"),
        ({"stop_times": f"{HEAD}T,8:00:00,8:00:00,Z,1\n"}, "stop_times.txt line 2: field `stop_id`: 'Z' is not in stops.txt"),
        ({"stop_times": f"{HEAD}X,8:00:00,8:00:00,A,1\n"}, "field `trip_id`: 'X' is not in trips.txt"),
        ({"stop_times": f"{HEAD}T,8:00:00,8:00:00,A,first\n"}, "field `stop_sequence`: must be a whole number"),
        ({"stop_times": f"{HEAD}T,8:00:00,8:00:00,A,1\nT,,,B,2\n"}, "is missing at the first or last call"),
        ({"stop_times": HEAD}, "trips.txt line 2: field `trip_id`: 'T' has fewer than two calls"),
        ({"calendar": None}, "neither calendar.txt nor calendar_dates.txt names a day of service"),
        ({"calendar_dates": "service_id,date,exception_type\nS,2024-02-29,1\n"}, "field `date`: must be a date as YYYYMMDD"),
        ({"calendar_dates": "service_id,date,exception_type\nS,20240229,3\n"}, "field `exception_type`: must be one of '1', '2', got '3'"),
        ({"frequencies": "trip_id,start_time,end_time,headway_secs\nT,6:00:00,7:00:00,0\n"}, "field `headway_secs`: must be a whole number of at least 1"),
        ({"routes": b"route_id\n\xff\n"}, "routes.txt is not UTF-8 text"),
        ({"routes": 'route_id\n"R\n'}, "routes.txt is not CSV"),
    ],
)
def test_a_faulty_table_is_told_in_one_line_that_names_it(make_zip: MakeZip, tables: dict[str, str | bytes | None], words: str) -> None:
    with pytest.raises(AppError) as caught:
        read_feed(make_zip(**tables))
    assert words in str(caught.value)
    assert str(caught.value).startswith("feed.zip: ")
    assert "\n" not in str(caught.value)


def test_what_is_no_zip_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "feed.zip"
    with pytest.raises(AppError, match=r"feed\.zip: cannot be read: No such file"):
        read_feed(path)
    path.write_bytes(b"stop_id,stop_name\n")
    with pytest.raises(AppError, match=r"feed\.zip: not a readable zip"):
        read_feed(path)


@given(st.sampled_from(("agency", "stops", "routes", "calendar", "trips", "stop_times")), st.binary(max_size=200))
def test_any_bytes_in_a_table_give_a_feed_or_one_line(table: str, content: bytes) -> None:
    sample = Path(str(files("stack.apps.transit") / "data" / "sample-feed-1.zip"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "feed.zip"
        with zipfile.ZipFile(sample) as source, zipfile.ZipFile(path, "w") as target:
            for name in source.namelist():
                target.writestr(name, content if name == f"{table}.txt" else source.read(name))
        message = ""
        try:
            read_feed(path)
        except AppError as error:
            message = str(error)
        assert "\n" not in message
