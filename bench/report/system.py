"""The system under test on the page of a run: its gauges over time, and its own word beside the client's (logic)."""

from dataclasses import dataclass

import numpy as np

from bench.report.charts import SECONDS, Chart, band_legend, number
from bench.report.series import thin
from bench.results.columns import Floats
from bench.results.summary import Window
from bench.system.models import Energy, Gauge, Latency, SystemView
from bench.system.series import Series, SeriesBook
from bench.system.table import SystemTable
from stack.runtime.svg import Axis, Plot

MOST_POINTS = 600
LOOKS = ("one", "two", "three", "four")
"""A look for each line of a plot; further lines are not drawn, and the caption says so."""

KV_CACHE = ("kv_cache_usage_perc", "gpu_cache_usage_perc")
"""Shares from 0 to 1, despite their name: what vLLM calls it, now and before."""


@dataclass(frozen=True)
class Panel:
    """All that the page shows of the system under test."""

    facts: tuple[tuple[str, str], ...]
    latencies: tuple[tuple[str, ...], ...]
    charts: tuple[Chart, ...]
    alarms: tuple[str, ...]


def panel(view: SystemView, table: SystemTable | None, *, model: str | None, end_s: float, window: Window | None) -> Panel:
    """`table` is what the view was made from; without it there are no plots."""
    drawn = () if table is None else _charts(SeriesBook(table, model=model), end_s, window)
    return Panel(facts=_facts(view), latencies=_latencies(view), charts=drawn, alarms=view.alarms)


def _facts(view: SystemView) -> tuple[tuple[str, str], ...]:
    offered = f"{view.offered.sent:,} sent, {_count(view.offered.server)} counted by the server"
    found = [
        ("Metrics of the server", f"{view.metrics_url}, every {view.every_s:g} s"),
        ("Running at once", _range(view.running)),
        ("Waiting in the engine", _range(view.waiting)),
        ("Preemptions", _count(view.preemptions)),
        ("Prompt tokens from the prefix cache", "unknown" if view.prefix_cache_hit_rate is None else f"{view.prefix_cache_hit_rate:.1%}"),
        ("Requests", f"{offered} ({view.offered.reason})" if view.offered.reason else offered),
    ]
    found += [(f"Energy of {energy.device}", _energy(energy)) for energy in view.energy]
    found += [(f"Not read: {name}", state.reason) for name, state in view.sources.items() if state.reason and not state.samples]
    if view.fault:
        found.append(("Fault of the watch", view.fault))
    return tuple(found)


def _count(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _energy(energy: Energy) -> str:
    """With its source and class, or why it is unknown."""
    if energy.joules is None:
        return f"unknown: {energy.reason}"
    figures = f"{number(energy.joules, 'J')}, {number(energy.mean_w, 'W')}, {number(energy.output_tokens_per_joule)} output tokens per joule"
    return f"{figures} ({'; '.join(filter(None, (f'{energy.devices} counted', energy.source, energy.tier, energy.reason)))})"


def _range(gauge: Gauge | None) -> str:
    if gauge is None or gauge.mean is None:
        return "unknown"
    return f"{number(gauge.mean)} on average, at most {number(gauge.max)}"


def _latencies(view: SystemView) -> tuple[tuple[str, ...], ...]:
    """Rows: latency, mean by the server, mean by the client, whether they agree."""

    def row(name: str, pair: Latency) -> tuple[str, ...]:
        return name, number(pair.server_ms), number(pair.client_ms), "they disagree (above)" if pair.alarm else pair.reason or "they agree"

    return row("Time to first token", view.ttft), row("Inter-token latency", view.itl), row("Whole answer", view.e2e)


def _charts(book: SeriesBook, end_s: float, window: Window | None) -> tuple[Chart, ...]:
    running, waiting = book.added("num_requests_running"), book.added("num_requests_waiting")
    cache = next((found for name in KV_CACHE if (found := book.of("engine", name))), [])
    gpus = {name: book.of("accelerator", name) for name in ("utilization_percent", "power_w")}
    wanted = (
        ("Requests in the engine", "requests", 1.0, [("running", running), ("waiting", waiting)]),
        ("KV cache in use", "%", 100.0, [(_name(each, f"engine {place}"), each) for place, each in enumerate(cache)]),
        ("Accelerators busy", "%", 1.0, [(_name(each, "accelerator"), each) for each in gpus["utilization_percent"]]),
        ("Power of the accelerators", "W", 1.0, [(_name(each, "accelerator"), each) for each in gpus["power_w"]]),
        ("CPU of the load generator's host", "%", 1.0, [("all cores", each) for each in book.of("host", "cpu_percent")]),
    )
    drawn = [_lines(title, unit, scale, [(name, each) for name, each in lines if each is not None], end_s, window) for title, unit, scale, lines in wanted]
    return tuple(chart for chart in drawn if chart is not None)


def _name(series: Series, otherwise: str) -> str:
    labels = series.labels
    return f"GPU {labels['gpu']}" if "gpu" in labels else f"engine {labels['engine']}" if "engine" in labels else otherwise


def _lines(title: str, unit: str, scale: float, lines: list[tuple[str, Series]], end_s: float, window: Window | None) -> Chart | None:
    """Each series keeps a value until its next sample; what was sampled before or after the run is left out."""
    inside = [(name, *_points(series, scale, end_s)) for name, series in lines]
    inside = [(name, at, values) for name, at, values in inside if len(at) > 1]
    if not inside:
        return None
    plot = Plot(f"{title} over time", Axis.up_to(end_s, SECONDS, tight=True), Axis.up_to(max(float(values.max()) for _, _, values in inside), unit))
    if window is not None and window.kind == "steady":
        plot.band(window.start_s, window.end_s)
    rows = []
    for (name, at, values), look in zip(inside, LOOKS, strict=False):
        kept = thin(values, MOST_POINTS)
        plot.steps(at[kept], values[kept], look)
        rows.append((name, *(number(figure) for figure in (float(values.min()), float(values.mean()), float(values.max())))))
    legend = tuple((look, name) for (name, _, _), look in zip(inside, LOOKS, strict=False))
    left_out = len(inside) - len(rows)
    caption = f"{left_out} more are not drawn." if left_out > 0 else ""
    return Chart(
        title, plot.svg(), caption, (*legend, *band_legend(window)), ("Series", *(f"{name}, {unit}" for name in ("least", "mean", "most"))), tuple(rows)
    )


def _points(series: Series, scale: float, end_s: float) -> tuple[Floats, Floats]:
    at = series.t_ns / 1e9
    inside = (at >= 0) & (at <= end_s) & np.isfinite(series.values)
    return at[inside], series.values[inside] * scale
