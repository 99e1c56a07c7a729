"""Transportation: answers trip questions from a timetable in GTFS form.

In: a question in words, or stops, day and time from a form; a feed. Out: the journey of earliest arrival with
its sources and its trace. The model tells at most which of two stops is the destination; stops, days and times
come from rules, journeys from a search, sentences from a template. It never says a stop or a time that is not
in the feed, and never claims to know delays.
"""

from stack.apps.transit.answerer import TripAnswerer, sample_feed
from stack.apps.transit.feed_reader import read_feed
from stack.apps.transit.trips import TripAnswer

__all__ = ["TripAnswer", "TripAnswerer", "read_feed", "sample_feed"]
