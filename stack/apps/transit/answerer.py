"""Answer a question: read it, plan the trip, tell it (edge: asks the model)."""

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from importlib.resources import as_file, files

from stack.apps.answer import Source, ToolCall
from stack.apps.transit.feed import Feed
from stack.apps.transit.feed_reader import read_feed
from stack.apps.transit.planner import plan, tell
from stack.apps.transit.reading import Reading, read_by_model, read_by_words, read_question
from stack.apps.transit.stop_names import StopNames
from stack.apps.transit.trips import Reader, Slots, TripAnswer
from stack.serving.chat import ChatClient, ChatFailedError

SAMPLE_FEED = "sample-feed-1.zip"
MODEL_DOWN = "The language model does not answer, so the question was read by rules alone."


def sample_feed() -> Feed:
    """The feed that ships with the app (data/NOTICE-sample-feed-1 has its source and licence)."""
    with as_file(files("stack.apps.transit") / "data" / SAMPLE_FEED) as path:
        return read_feed(path)


@dataclass
class TripAnswerer:
    """Answers from one feed; without a client, or when the model fails, questions are read by rules alone."""

    feed: Feed
    client: ChatClient | None = None

    @cached_property
    def names(self) -> StopNames:
        return StopNames(self.feed.stops)

    def reference_day(self, today: date) -> date:
        """`today`, or the day of the feed's validity that is nearest to it."""
        return min(max(today, self.feed.first_day), self.feed.last_day)

    async def answer(self, text: str, *, today: date) -> TripAnswer:
        """The answer to a question; AppError when it is empty or too long."""
        question = read_question(self.names, text, today=self.reference_day(today))
        if self.client is None:
            return self.answer_reading(read_by_words(question))
        try:
            return self.answer_reading(await read_by_model(self.client, question))
        except ChatFailedError:
            return self.answer_reading(read_by_words(question), notice=MODEL_DOWN)

    def answer_slots(self, slots: Slots) -> TripAnswer:
        """The answer to slots that a person filled in."""
        return self.answer_reading(Reading(slots, Reader.FORM))

    def answer_reading(self, reading: Reading, *, notice: str = "") -> TripAnswer:
        """Plan and tell; every step goes into the trace."""
        slots = reading.slots
        status, rides = plan(self.feed, slots)
        asked = slots.model_dump(mode="json")
        trace = [
            ToolCall(tool="model.choose_destination", arguments={"question": text}, result=said) for text, said in zip(reading.asked, reading.said, strict=True)
        ]
        trace.append(ToolCall(tool=f"read.{reading.reader}", arguments={}, result=asked))
        trace.append(ToolCall(tool="plan_trip", arguments=asked, result={"status": status, "rides": [ride.model_dump(mode="json") for ride in rides]}))
        return TripAnswer(
            text=tell(self.feed, self.names.labels, slots, status, rides),
            sources=(self._source(),),
            tool_trace=tuple(trace),
            status=status,
            reader=reading.reader,
            slots=slots,
            rides=rides,
            notice=notice,
        )

    def _source(self) -> Source:
        feed = self.feed
        valid = f"valid {feed.first_day.isoformat()} to {feed.last_day.isoformat()}"
        return Source(title=f"Timetable of {feed.agency} ({feed.name})", detail=f"SHA-256 {feed.sha256[:16]}, {valid}, times in {feed.timezone}")
