"""What is written of each question, and when it counts as right (models and logic; no I/O)."""

import re
from collections.abc import Mapping
from datetime import date
from itertools import pairwise

from pydantic import Field

from stack.apps.answer import Frozen
from stack.apps.transit.times import clock
from stack.apps.transit.trips import Reader, Ride, Slots, TripAnswer

_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?")


class Gold(Frozen):
    """The slots that a question was made from; None is a stop outside the feed."""

    origin: str | None = Field(alias="from")
    destination: str | None = Field(alias="to")
    day: date = Field(alias="date")
    depart_s: int


class Question(Frozen):
    id: str
    kind: str
    question: str
    gold: Gold


class Outcome(Frozen):
    """What one way of reading made of a question."""

    reader: Reader
    slots: Slots
    rides: tuple[Ride, ...]
    text: str

    @classmethod
    def of(cls, answer: TripAnswer) -> "Outcome":
        return cls(reader=answer.reader, slots=answer.slots, rides=answer.rides, text=answer.text)


class Best(Frozen):
    """The oracle's journey for the gold slots."""

    depart_s: int
    arrive_s: int


class Prediction(Frozen):
    """One question with everything that its score is worked out from."""

    question: Question
    best: Best | None
    model: Outcome
    baseline: Outcome
    asked_model: bool
    prompt_tokens: int
    completion_tokens: int


def slots_match(outcome: Outcome, gold: Gold) -> bool:
    """All of origin, destination, day and time; a time past midnight counts from the day that was said."""
    slots = outcome.slots
    return (slots.origin, slots.destination, slots.day, slots.depart_s) == (gold.origin, gold.destination, gold.day, gold.depart_s)


def names_stops(outcome: Outcome, gold: Gold) -> bool:
    """Both stops are found, in whatever order."""
    return {outcome.slots.origin, outcome.slots.destination} == {gold.origin, gold.destination}


def is_optimal(outcome: Outcome, prediction: Prediction) -> bool:
    """The rides lead from gold origin to gold destination and leave and arrive as the oracle's; where it has none, so says the answer, for the right slots."""
    gold, best, rides = prediction.question.gold, prediction.best, outcome.rides
    if best is None or not rides:
        return best is None and not rides and slots_match(outcome, gold)
    ends = (rides[0].from_stop, rides[-1].to_stop, rides[0].depart_s, rides[-1].arrive_s)
    linked = all(before.to_stop == after.from_stop and before.arrive_s <= after.depart_s for before, after in pairwise(rides))
    return linked and outcome.slots.day == gold.day and ends == (gold.origin, gold.destination, best.depart_s, best.arrive_s)


def invents(outcome: Outcome, stop_names: Mapping[str, str]) -> bool:
    """Whether the text has a clock time or a stop of the feed that neither the rides nor the slots have."""
    slots, rides = outcome.slots, outcome.rides
    times = {clock(at) for at in (slots.depart_s, *(at for ride in rides for at in (ride.depart_s, ride.arrive_s)))}
    stops = {slots.origin, slots.destination, *(stop for ride in rides for stop in (ride.from_stop, ride.to_stop))}
    text = outcome.text
    for ride in rides:
        # The name of a line may hold the name of a stop that it does not take us to.
        text = text.replace(ride.line, "")
    told = {stop for stop, name in stop_names.items() if name in text}
    return not set(_CLOCK.findall(text)) <= times or not told <= stops
