"""Whether the server stayed on one level while it was measured, by batch means (pure functions)."""

import numpy as np

from bench.results.columns import Floats, View
from bench.results.decode import OK
from bench.results.summary import SeriesLevel, Steady, Window
from bench.statistics.batches import BATCHES, MIN_BATCH, MIN_BATCHES, Level, batch_means, judge_level

METHOD = f"{BATCHES} batch means; transient: outside the prediction band of the second half; shift: Pettitt's test at 1 %, at least 5 %"


def steady_state(view: View, window: Window | None) -> Steady:
    """Judge output (equal stretches of the window) and time to first token (equal numbers of requests)."""
    if window is None or window.kind == "whole_run":
        return Steady(note="not judged: the run is too short for a steady window", method=METHOD)
    output, ttft = _output(view, window), _ttft(view)
    if output is None or ttft is None:
        return Steady(note=f"not judged: it takes {MIN_BATCHES * MIN_BATCH} requests in the window", method=METHOD)
    ends = [each.transient_until_s for each in (output, ttft) if each.transient_until_s is not None]
    shifts = [
        f"{name} {'rose' if each.shift > 0 else 'fell'} by {abs(each.shift):.0%} at {each.shift_at_s:.1f} s"
        for name, each in (("output", output), ("time to first token", ttft))
        if each.shift_at_s is not None
    ]
    return Steady(
        steady=not shifts,
        from_s=max(ends, default=window.start_s),
        output=output,
        ttft=ttft,
        method=METHOD,
        note="; ".join(shifts),
    )


def token_weights(view: View) -> Floats:
    """What one content event of each successful request is worth: N / number of events; 0 where N is unknown."""
    columns = view.columns
    worth = np.zeros(len(columns.request))
    counted = (columns.status == OK) & ~np.isnan(columns.output_tokens) & (columns.chunks > 0)
    worth[counted] = columns.output_tokens[counted] / columns.chunks[counted]
    return worth


def output_batches(view: View, window: Window, batches: int) -> list[float]:
    """Output tokens per second in `batches` equal stretches of the window."""
    edges = np.linspace(window.start_s * 1e9, window.end_s * 1e9, batches + 1)
    tokens, _ = np.histogram(view.tokens.t, bins=edges, weights=token_weights(view)[view.tokens.row])
    rates: list[float] = (tokens / np.diff(edges) * 1e9).tolist()
    return rates


def batches_in(view: View, window: Window) -> int | None:
    """How many equal stretches of the window hold enough answers each to be told apart from noise; None for too few."""
    closed = view.columns.closed[view.ok] / 1e9
    number = min(BATCHES, int(((closed > window.start_s) & (closed <= window.end_s)).sum()) // MIN_BATCH)
    return number if number >= MIN_BATCHES else None


def _output(view: View, window: Window) -> SeriesLevel | None:
    number = batches_in(view, window)
    if number is None:
        return None
    length_s = (window.end_s - window.start_s) / number
    return _series(judge_level(output_batches(view, window, number)), [window.start_s + place * length_s for place in range(number)])


def _ttft(view: View) -> SeriesLevel | None:
    counted = view.ok & ~np.isnan(view.columns.first)
    start, ttft = view.start[counted], (view.columns.first - view.start)[counted]
    means = batch_means(ttft.tolist())
    if means is None:
        return None
    size = len(ttft) // len(means)
    begins_s = (start[len(ttft) - size * len(means) :: size] / 1e9).tolist()
    return _series(judge_level(means), begins_s)


def _series(level: Level, begins_s: list[float]) -> SeriesLevel:
    return SeriesLevel(
        batches=len(begins_s),
        transient_until_s=begins_s[level.transient] if level.transient else None,
        shift_at_s=None if level.shift_at is None else begins_s[level.shift_at],
        shift=level.shift,
        p_value=level.p_value,
    )
