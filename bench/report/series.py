"""The course of a run as arrays small enough to draw (pure functions over samples). Seconds are counted from the start of the run."""

from dataclasses import dataclass

import numpy as np

from bench.results.columns import CANCELLED, Bools, Floats, Ints, Tokens, View, gaps_ms
from bench.results.samples import Samples
from bench.results.steady import token_weights
from stack.runtime.svg import nice_step

MOST_BINS = 120
"""Bins of a rate over time; each is a round number of seconds wide."""

INSTANTS = 400
"""Moments at which requests in flight are counted."""


@dataclass(frozen=True)
class Course:
    """One run: a value per request, NaN where it was never taken, and its content events."""

    measured: Bools
    ok: Bools
    failed: Bools
    cancelled: Bools
    intended: Floats
    dispatched: Floats
    sent: Floats
    first: Floats
    last: Floats
    closed: Floats
    tpot_ms: Floats
    start: Floats
    tokens: Tokens
    worth: Floats
    """Of one content event of each request, in tokens; the two arrays in `tokens` are all that a page holds a value a token of."""

    @property
    def end_s(self) -> float:
        return float(self.closed.max())

    @property
    def ttft_ms(self) -> Floats:
        """From `start`, which is `intended` in open loop and `sent` in closed loop."""
        return (self.first - self.start) * 1e3

    def gaps_ms(self) -> Floats:
        """Between successive content events of one successful request, all pooled."""
        return gaps_ms(self.tokens.row, self.tokens.t, self.ok)


def course(samples: Samples) -> Course:
    """The run in seconds; every definition is that of the published figures."""
    view = View.of(samples)
    columns = view.columns
    cancelled = (columns.status == CANCELLED) & view.measured
    return Course(
        measured=view.measured,
        ok=view.ok,
        failed=view.measured & ~view.ok & ~cancelled,
        cancelled=cancelled,
        intended=columns.intended / 1e9,
        dispatched=columns.dispatched / 1e9,
        sent=columns.sent / 1e9,
        first=columns.first / 1e9,
        last=columns.last / 1e9,
        closed=columns.closed / 1e9,
        tpot_ms=columns.tpot_ms(),
        start=view.start / 1e9,
        tokens=view.tokens,
        worth=token_weights(view),
    )


def in_flight(run: Course, at: Floats) -> Ints:
    """Requests sent and not over at each moment, warm-up included."""
    was_sent = ~np.isnan(run.sent)
    sent, closed = np.sort(run.sent[was_sent]), np.sort(run.closed[was_sent])
    count: Ints = np.searchsorted(sent, at, side="right") - np.searchsorted(closed, at, side="right")
    return count


def bins(end_s: float) -> Floats:
    """Edges from zero over the whole run, a round number of seconds apart."""
    width = nice_step(max(end_s, 1e-6) / MOST_BINS)
    edges: Floats = np.arange(int(np.ceil(end_s / width)) + 1, dtype=np.float64) * width
    return edges if len(edges) > 1 else np.array([0.0, width])


def tokens_per_s(run: Course, edges: Floats) -> Floats:
    """Output tokens of successful requests per second in each bin, each content event worth its request's tokens over its events."""
    counted: Floats = np.histogram(run.tokens.t, bins=edges * 1e9, weights=run.worth[run.tokens.row])[0] / np.diff(edges)
    return counted


def thin(values: Floats, most: int) -> Ints:
    """Places of at most about `most` values, in their order: of each equal group the smallest, the middle and the largest."""
    if len(values) <= most:
        return np.arange(len(values))
    groups = np.array_split(np.arange(len(values)), most // 3)
    kept = [place for group in groups for place in (group[values[group].argmin()], group[len(group) // 2], group[values[group].argmax()])]
    return np.unique(np.array(kept, dtype=np.int64))


def spread(count: int, most: int) -> Ints:
    """At most `most` places out of `count`, evenly spaced, first and last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)) if count else np.empty(0, np.int64)
