import asyncio
import socket
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.apps import AppError
from stack.apps.transit import TripAnswerer, sample_feed
from stack.apps.transit.feed import Feed, Stop
from stack.apps.transit.reading import read_by_words, read_question
from stack.apps.transit.stop_names import StopNames, named_stops, put_names
from stack.apps.transit.trips import MAX_QUESTION, Reader, Status, TripAnswer
from stack.apps.transit.when import read_when
from stack.serving.chat import ChatClient

TODAY = date(2007, 6, 6)  # a Wednesday
NAMES = StopNames(sample_feed().stops)


@pytest.mark.parametrize(
    ("text", "day", "time"),
    [
        ("on Wednesday 6 June 2007 at 8", "2007-06-06", 8.0),
        ("leaving at 7:15 on 9 June", "2007-06-09", 7.25),
        ("2008-02-29, half past six in the evening", "2008-02-29", 18.5),
        ("on June 4th, 2007 at 6:30 pm", "2007-06-04", 18.5),
        ("Sat 9 Jun 2007 25:10", "2007-06-09", 25 + 1 / 6),
        ("quarter to midnight on the 4th of June 2007", "2007-06-04", 23.75),
        ("at noon on Sunday", "2007-06-10", 12.0),
        ("8 o'clock in the morning tomorrow", "2007-06-07", 8.0),
        ("half past midnight today", "2007-06-06", 0.5),
        ("Friday 07h30", "2007-06-08", 7.5),
        ("12 am on 5 June 2007", "2007-06-05", 0.0),
        ("12:30 pm", None, 12.5),
        ("quarter to twelve at night", None, 23.75),
        ("9:99, 31 June 2007, line 40, may we march", None, None),
    ],
)
def test_days_and_times_are_found_as_people_write_them(text: str, day: str | None, time: float | None) -> None:
    when = read_when(text, today=TODAY)
    assert when.day == (day and date.fromisoformat(day))
    assert when.depart_s == (None if time is None else round(time * 3600))


@given(st.text(max_size=80))
def test_any_text_is_read_without_a_fault(text: str) -> None:
    when = read_when(text, today=TODAY)
    assert when.depart_s is None or 0 <= when.depart_s < 28 * 3600


@pytest.mark.parametrize(
    ("text", "origin", "destination"),
    [
        ("from Bullfrog to Furnace Creek Resort", "BULLFROG", "FUR_CREEK_RES"),
        ("to the airport from the Stagecoach hotel", "BEATTY_AIRPORT", "STAGECOACH"),
        ("Main & Irving -> Doing Avenue", "EMSI", "DADAN"),
        ("North Ave and D Ave to North Ave and N A Ave", "NADAV", "NANAA"),
        ("amagrosa valley to bulfrog", "AMV", "BULLFROG"),
    ],
)
def test_stops_are_found_by_short_names_and_through_typos(feed: Feed, text: str, origin: str, destination: str) -> None:
    first, second = named_stops(StopNames(feed.stops), text)
    assert (first.stop_id, second.stop_id) == (origin, destination)


def test_the_words_before_the_names_tell_their_order(feed: Feed) -> None:
    names = StopNames(feed.stops)
    for text in ("to Bullfrog from the airport", "reach Bullfrog; I am at the airport", "from the airport to Bullfrog", "the airport, then Bullfrog"):
        slots = read_by_words(read_question(names, text, today=TODAY)).slots
        assert (slots.origin, slots.destination) == ("BEATTY_AIRPORT", "BULLFROG")


def test_names_are_put_in_the_place_of_stops(feed: Feed) -> None:
    text = "Is E Main Street far from Nye airport?"
    assert put_names(text, named_stops(StopNames(feed.stops), text), ("Oakland", "Denver")) == "Is Oakland far from Denver?"


@given(st.text(max_size=60))
def test_any_text_can_be_searched_for_stops(text: str) -> None:
    mentions = named_stops(NAMES, text)
    assert len(mentions) <= 2
    put_names(text, mentions, ("Oakland", "Denver")[: len(mentions)])


def ask(answerer: TripAnswerer, text: str, today: date = TODAY) -> TripAnswer:
    return asyncio.run(answerer.answer(text, today=today))


def test_an_answer_has_its_sources_and_a_trace_of_what_each_tool_said(feed: Feed) -> None:
    answer = ask(TripAnswerer(feed), "from the airport to Bullfrog on 6 June 2007 at 7:15")
    assert answer.text == (
        "From Nye County Airport to Bullfrog on Wednesday 6 June 2007: take line 10 (Airport - Bullfrog) at 08:00 to Bullfrog, arriving at 08:10. "
        "This is the schedule, not real time."
    )
    assert feed.sha256[:16] in answer.sources[0].detail
    assert [call.tool for call in answer.tool_trace] == ["read.words", "plan_trip"]
    assert answer.tool_trace[-1].result["rides"][0]["depart_s"] == 8 * 3600


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("from Las Vegas to Bullfrog", Status.UNKNOWN_STOP, "I know Bullfrog, but not the stop to start from. The question gives no day and no time"),
        ("to be or not to be", Status.UNKNOWN_STOP, "I know none of the stops"),
        ("Bullfrog to the airport on 3 January 2011 at 9:00", Status.OUTSIDE_FEED, "Nothing is known of Monday 3 January 2011"),
        (
            "Bullfrog to Amargosa on 5 June 2007 at 9:00",
            Status.NO_TRIP,
            "no trip from Bullfrog to Amargosa Valley after 09:00 on Tuesday 5 June 2007 or on the day after",
        ),
        ("airport to Bullfrog on 4 June 2007 at 9:00", Status.FOUND, "at 08:00 on Tuesday 5 June 2007 to Bullfrog, arriving at 08:10"),
        ("Stagecoach to the airport on 6 June 2007 at 9:00", Status.FOUND, "at 09:00 (about every 30 min) to Nye County Airport"),
    ],
)
def test_what_cannot_be_answered_is_said_and_never_made_up(feed: Feed, text: str, status: Status, words: str) -> None:
    answer = ask(TripAnswerer(feed), text)
    assert answer.status is status
    assert words in answer.text
    assert answer.text.endswith("This is the schedule, not real time.")


def test_without_a_day_the_nearest_day_of_the_feed_is_taken_and_said(feed: Feed) -> None:
    answer = ask(TripAnswerer(feed), "airport to Bullfrog at 7:00", today=date(2030, 1, 1))
    assert answer.slots.day == feed.last_day
    assert "The question gives no day: taken as Friday 31 December 2010." in answer.text


def test_a_question_has_a_limit(feed: Feed) -> None:
    for text in ("", "  \n", "x" * (MAX_QUESTION + 1)):
        with pytest.raises(AppError, match="field `question`: must have 1 to 300 characters"):
            ask(TripAnswerer(feed), text)


def test_when_the_model_is_down_the_words_decide_and_the_answer_says_so(feed: Feed) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))

        async def answer() -> TripAnswer:
            async with ChatClient(f"http://127.0.0.1:{nobody.getsockname()[1]}", "any", attempts=1) as client:
                return await TripAnswerer(feed, client).answer("from the airport to Bullfrog on 6 June 2007 at 7:15", today=TODAY)

        found = asyncio.run(answer())
    assert (found.status, found.reader) == (Status.FOUND, Reader.WORDS)
    assert "does not answer" in found.notice


def test_names_outside_ascii_are_found_and_one_without_letters_does_no_harm() -> None:
    names = StopNames({"1": Stop("1", "Πλατεία Συντάγματος"), "2": Stop("2", "Żoliborz"), "3": Stop("3", "***")})
    assert [mention.stop_id for mention in named_stops(names, "from Πλατεία Συντάγματος to the ŻOLIBORZ and at the")] == ["1", "2"]
