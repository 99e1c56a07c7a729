"""What a question asks and what it is answered with (models; no I/O)."""

from datetime import date
from enum import StrEnum

from pydantic import Field

from stack.apps.answer import Answer, Frozen

MAX_QUESTION = 300
"""Characters; more is refused before anything reads it."""


class Reader(StrEnum):
    """Who told origin from destination."""

    MODEL = "model"
    WORDS = "words"
    FORM = "form"


class Slots(Frozen):
    """What a question asks for. Stops are ids of the feed; None is a stop that it does not name, or that the feed does not know."""

    origin: str | None
    destination: str | None
    day: date
    depart_s: int = Field(ge=0, description="Seconds from the start of `day`; past 86,400 is the night after it")
    day_given: bool = True
    time_given: bool = True


class Ride(Frozen):
    """One leg as it is shown; times are seconds from the start of the day asked for."""

    line: str
    headsign: str
    from_stop: str
    to_stop: str
    depart_s: int
    arrive_s: int
    every_s: int | None = Field(description="The interval where the feed gives no exact times; else None")


class Status(StrEnum):
    FOUND = "found"
    NO_TRIP = "no_trip"
    UNKNOWN_STOP = "unknown_stop"
    SAME_STOP = "same_stop"
    OUTSIDE_FEED = "outside_feed"


class TripAnswer(Answer):
    """The answer to one question."""

    status: Status
    reader: Reader
    slots: Slots
    rides: tuple[Ride, ...]
    notice: str = Field(default="", description="What went wrong on the way and was made up for, such as a model that is down")
