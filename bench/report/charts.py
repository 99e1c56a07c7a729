"""The plots of one run (logic): distributions, and what happened over time."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from bench.report.series import INSTANTS, Course, bins, in_flight, spread, thin, tokens_per_s
from bench.results.columns import Floats, known
from bench.results.distributions import SHARES
from bench.results.summary import Summary, Window
from bench.statistics.percentiles import percentile
from stack.runtime.svg import SMALLEST_AXIS, Axis, Bar, Plot, bars, ecdf_points

TAIL = 4
"""A largest value beyond so many times the p99 would squeeze the rest: the axis ends at CUT times the p99 and the caption says so."""

CUT = 1.5
MOST_DOTS = 1500
MOST_ROWS = 240
"""Requests drawn in the timeline; of the failed ones no more than half as many."""

SLICES = 10
SECONDS = "seconds since the start of the run"

CLASSES = {
    "refused": "no connection",
    "timeout": "not over in time",
    "truncated": "the answer ended half-way",
    "malformed": "not a chat stream",
}
"""Failure classes of docs/metrics.md in a few words; any other is an HTTP status."""


@dataclass(frozen=True)
class Chart:
    """A plot with its caption, what its marks mean, and the same in a table for who cannot see it."""

    title: str
    svg: Markup
    caption: str = ""
    legend: tuple[tuple[str, str], ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    wide: bool = False


def number(value: float | None, unit: str = "") -> str:
    """Three to four digits and the unit; a dash for what is unknown."""
    if value is None or np.isnan(value):
        return "-"
    size = abs(value)
    digits = f"{value:,.0f}" if size >= 1000 else f"{value:.1f}" if size >= 100 else f"{value:.2f}" if size >= 1 else f"{value:.3g}"
    return f"{digits}\u00a0{unit}" if unit else digits


def distributions(run: Course, *, open_loop: bool) -> tuple[Chart, ...]:
    """Over the measured requests that succeeded; those without a value are left out."""
    since = "the moment it was due" if open_loop else "the moment it was sent"
    named = (
        ("Time to first token", run.ttft_ms[run.ok], f"from {since}"),
        ("Time per output token", run.tpot_ms[run.ok], "of one answer, after its first token"),
        ("Time to the last token", ((run.last - run.start) * 1e3)[run.ok], f"from {since}"),
        ("Gap between chunks", run.gaps_ms(), "within one answer, all gaps together"),
    )
    charts = []
    for title, each, what in named:
        values = known(each)
        values.sort()
        if values.size:
            charts.append(_distribution(title, values, what))
    return tuple(charts)


def _distribution(title: str, ordered: Floats, what: str) -> Chart:
    marks = {name: percentile(ordered, share) for name, share in SHARES.items()}  # type: ignore[arg-type]
    top = float(ordered[-1])
    cut = marks["p99"] > 0 and top > TAIL * marks["p99"]
    plot = Plot(f"{title}: share of {len(ordered):,} values at or below", Axis.up_to(CUT * marks["p99"] if cut else top, "ms"), Axis.shares())
    places, shares = ecdf_points(ordered)
    plot.steps(np.append(places, top), np.append(shares, 1.0), "one")
    for row, name in enumerate(("p50", "p90", "p99")):
        plot.mark(marks[name], name, row=row)
    caption = "".join(f"{name} {number(marks[name], 'ms')}, " for name in ("p50", "p90", "p99")) + f"{len(ordered):,} values, {what}."
    beyond = int((ordered > plot.x.end).sum())
    if beyond:
        caption += f" The largest {beyond:,}, up to {number(top, 'ms')}, lie beyond the right edge."
    rows = tuple((name, number(value, "ms")) for name, value in [("smallest", float(ordered[0])), *marks.items(), ("largest", top)])
    return Chart(title, plot.svg(), caption, head=("Percentile", "Value"), rows=rows)


def over_time(run: Course, window: Window | None) -> tuple[Chart, ...]:
    """Requests, load, rate and latency on one time axis; the stretch that rates are counted over is shaded."""
    drawn = [_timeline(run, window), _in_flight(run, window), _token_rate(run, window), _ttft(run, window), _send_lag(run, window)]
    return tuple(chart for chart in drawn if chart is not None)


def _frame(run: Course, title: str, y: Axis, window: Window | None, *, tall: bool = False) -> Plot:
    plot = Plot(title, Axis.up_to(run.end_s, SECONDS, tight=True), y, tall=tall)
    if window is not None and window.kind == "steady":
        plot.band(window.start_s, window.end_s)
    return plot


def band_legend(window: Window | None) -> tuple[tuple[str, str], ...]:
    """What the shade of a plot means, where there is one."""
    return (("band", "steady window"),) if window is not None and window.kind == "steady" else ()


def _timeline(run: Course, window: Window | None) -> Chart:
    """One row a request in the order of starting; failures stay when others are left out."""
    order = np.argsort(np.where(np.isnan(run.sent), run.dispatched, run.sent), kind="stable")
    order = order[run.measured[order]]
    bad = np.flatnonzero((run.failed | run.cancelled)[order])
    kept = np.union1d(spread(len(order), MOST_ROWS), bad[spread(len(bad), MOST_ROWS // 2)])
    rows = order[kept]
    begin = np.where(np.isnan(run.sent), run.dispatched, run.sent)[rows]
    first, end, height = run.first[rows], run.closed[rows], kept.astype(np.float64) + 0.5
    plot = _frame(run, "Requests over time", Axis.up_to(len(order), "request", tight=True), window, tall=True)
    waits, streams = np.where(np.isnan(first), end, first), ~np.isnan(first)
    fine = run.ok[rows]
    for look, chosen in (("wait", fine), ("wait fault", ~fine)):
        plot.spans(begin[chosen], waits[chosen], height[chosen], look)
    for look, chosen in (("stream", fine & streams), ("stream fault", ~fine & streams)):
        plot.spans(first[chosen], end[chosen], height[chosen], look)
    plot.dots(first[streams], height[streams], "small two")
    plot.dots(end[run.failed[rows]], height[run.failed[rows]], "square fault")
    plot.dots(end[run.cancelled[rows]], height[run.cancelled[rows]], "square stopped")
    legend = [("wait", "waiting for the first token"), ("small two", "first token"), ("stream", "answer streaming")]
    legend += [("square fault", "failed")] if run.failed.any() else []
    legend += [("square stopped", "cancelled")] if run.cancelled.any() else []
    shown = "" if len(rows) == len(order) else f" {len(rows):,} of {len(order):,} are drawn, evenly spaced; failures are kept first."
    return Chart(
        "Requests over time",
        plot.svg(),
        f"Each row is one measured request, from its sending to its end, in the order of sending.{shown}",
        (*legend, *band_legend(window)),
        wide=True,
    )


def by_slice(run: Course) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The run in equal slices of time: head and rows of a table."""
    edges = np.linspace(0.0, max(run.end_s, SMALLEST_AXIS), SLICES + 1)
    began = np.where(np.isnan(run.sent), run.dispatched, run.sent)
    rates, flying = tokens_per_s(run, edges), in_flight(run, edges[1:])
    ttft, late = run.ttft_ms, (run.sent - run.intended) * 1e3
    rows = []
    for place, (low, high) in enumerate(pairwise(edges.tolist())):
        here = (began >= low) & (began < high if place < SLICES - 1 else began <= high) & run.measured
        waits, lags = known(ttft[here & run.ok]), known(late[here])
        median, worst = (float(np.median(waits)), float(waits.max())) if waits.size else (None, None)
        lag = float(lags.max()) if lags.size else None
        counts = (int(here.sum()), int((here & run.failed).sum()), int(flying[place]))
        rows.append((f"{low:.2f} to {high:.2f}", *(f"{count:,}" for count in counts), number(rates[place]), number(median), number(worst), number(lag)))
    return ("Seconds", "Sent", "Failed", "In flight at the end", "Output tokens/s", "TTFT median, ms", "TTFT largest, ms", "Send lag largest, ms"), tuple(rows)


def _in_flight(run: Course, window: Window | None) -> Chart:
    at = np.linspace(0.0, run.end_s, INSTANTS)
    count = in_flight(run, at).astype(np.float64)
    plot = _frame(run, "Requests in flight over time", Axis.up_to(float(count.max()), "requests"), window)
    plot.area(at, count, "one")
    plot.steps(at, count, "one")
    return Chart("Requests in flight", plot.svg(), f"Sent and not yet over; at most {count.max():,.0f}.", band_legend(window))


def _token_rate(run: Course, window: Window | None) -> Chart | None:
    if not run.worth.any():
        return None
    edges = bins(run.end_s)
    rates = tokens_per_s(run, edges)
    plot = _frame(run, "Output tokens per second over time", Axis.up_to(float(rates.max()), "tokens/s"), window)
    stairs = np.append(rates, rates[-1])
    plot.area(edges, stairs, "one")
    plot.steps(edges, stairs, "one")
    return Chart("Output tokens per second", plot.svg(), f"Of answers that succeeded, in bins of {edges[1]:g} s.", band_legend(window))


def _ttft(run: Course, window: Window | None) -> Chart | None:
    chosen = np.flatnonzero(run.ok & ~np.isnan(run.first))
    if not chosen.size:
        return None
    chosen = chosen[np.argsort(run.start[chosen], kind="stable")]
    values = run.ttft_ms[chosen]
    kept = thin(values, MOST_DOTS)
    plot = _frame(run, "Time to first token over time", Axis.up_to(float(values.max()), "ms"), window)
    plot.dots(run.start[chosen][kept], values[kept], "small one")
    shown = "" if len(kept) == len(values) else f" {len(kept):,} of {len(values):,} are drawn; smallest and largest are kept."
    return Chart("Time to first token over time", plot.svg(), f"One dot per answer, at the moment it starts to count.{shown}", band_legend(window))


def _send_lag(run: Course, window: Window | None) -> Chart | None:
    chosen = np.flatnonzero(run.measured & ~np.isnan(run.sent))
    if not chosen.size:
        return None
    chosen = chosen[np.argsort(run.intended[chosen], kind="stable")]
    lags = (run.sent - run.intended)[chosen] * 1e3
    kept = thin(lags, MOST_DOTS)
    plot = _frame(run, "Send lag over time", Axis.up_to(float(lags.max()), "ms"), window)
    plot.dots(run.intended[chosen][kept], lags[kept], "small two")
    return Chart("Send lag", plot.svg(), f"How long after it was due each request was sent; at most {number(float(lags.max()), 'ms')}.", band_legend(window))


def failures(summary: Summary) -> Chart | None:
    """Failed requests by class; None when there are none."""
    classes, sent = summary.requests.by_class, summary.requests.sent
    if not classes:
        return None
    most = sorted(classes.items(), key=lambda each: -each[1])
    rows = [Bar(f"{name}: {CLASSES.get(name, 'refused by the server')}", count, f"{count:,} ({count / sent:.1%})", "bad") for name, count in most]
    return Chart("Failed requests by class", bars(rows, title="Failed requests by class", end=float(sent)), f"Of {sent:,} measured requests.")
