"""What several runs of one endpoint say together: how latency grows with load, and what a user's speed costs (logic)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from bench.report.charts import Chart, number
from bench.results.summary import Summary
from bench.workload.arrivals import Concurrency, Constant, Gamma, Poisson
from bench.workload.words import arrivals_in_words
from stack.runtime.svg import Axis, Plot


@dataclass(frozen=True)
class Run:
    """One run of a folder of several."""

    name: str
    summary: Summary
    link: str

    @property
    def load(self) -> float:
        """What the runs are put in order by: streams in closed loop, the planned rate, else the rate offered."""
        arrivals = self.summary.workload.arrivals
        if isinstance(arrivals, Concurrency):
            return float(arrivals.streams)
        if isinstance(arrivals, Constant | Gamma | Poisson):
            return arrivals.rate
        return self.summary.rates.offered_requests_per_s or 0.0

    @property
    def arrivals(self) -> str:
        return arrivals_in_words(self.summary.workload.arrivals)


@dataclass(frozen=True)
class _Point:
    run: Run
    x: float
    y: float


def curves(runs: Sequence[Run], *, devices: int | None = None) -> tuple[Chart, ...]:
    """Latency against throughput, and speed for each user against speed of each device; none for fewer than two runs with figures.

    `devices` is how many accelerators, or hosts, did the work; None where nobody said.
    """
    throughput = "output tokens/s of the endpoint"
    drawn = [
        _curve("Time to first token, p50, against throughput", _points(runs, "ttft_ms", "p50"), throughput, "ms"),
        _curve("Time to first token, p99, against throughput", _points(runs, "ttft_ms", "p99"), throughput, "ms"),
        _curve("Time per output token, p50, against throughput", _points(runs, "tpot_ms", "p50"), throughput, "ms"),
        _curve(
            f"Speed for each user against speed of {'each device' if devices else 'the whole'}",
            _users(runs, devices or 1),
            "output tokens/s for each user (1 / TPOT, p50)",
            f"tokens/s, {devices} device{'s' if devices > 1 else ''}" if devices else "tokens/s",
        ),
    ]
    return tuple(chart for chart in drawn if chart is not None)


def _points(runs: Sequence[Run], metric: str, statistic: str) -> list[_Point]:
    found = []
    for run in runs:
        x, y = run.summary.rates.output_tokens_per_s, getattr(getattr(run.summary.metrics, metric), statistic)
        if x is not None and y is not None:
            found.append(_Point(run, x, y))
    return found


def _users(runs: Sequence[Run], devices: int) -> list[_Point]:
    found = []
    for run in runs:
        total, tpot = run.summary.rates.output_tokens_per_s, run.summary.metrics.tpot_ms.p50
        if total is not None and tpot:
            found.append(_Point(run, 1000 / tpot, total / devices))
    return found


def _curve(title: str, points: Sequence[_Point], across: str, unit: str) -> Chart | None:
    """Runs of one load are joined at their mean; a run that is not valid is drawn apart and joined to nothing."""
    if len(points) < 2:
        return None
    ordered = sorted(points, key=lambda point: point.run.load)
    plot = Plot(title, Axis.up_to(max(point.x for point in points), across), Axis.up_to(max(point.y for point in points), unit))
    valid = [point for point in ordered if point.run.summary.valid]
    groups = [list(group) for _, group in groupby(valid, key=lambda point: point.run.load)]
    means = [(sum(point.x for point in group) / len(group), sum(point.y for point in group) / len(group)) for group in groups]
    if len(means) > 1:
        plot.line([x for x, _ in means], [y for _, y in means], "one")
    for look, chosen in (("one", valid), ("square fault", [point for point in ordered if not point.run.summary.valid])):
        if chosen:
            plot.dots([point.x for point in chosen], [point.y for point in chosen], look)
    for group, (x, y) in zip(groups, means, strict=True):
        plot.label(x, y, f"{group[0].run.load:g}")
    legend = (("dots one", "valid run"), *((("square fault", "invalid run"),) if len(valid) < len(points) else ()))
    closed = not points[0].run.summary.workload.open_loop
    rows = tuple((point.run.name, f"{point.run.load:g}", number(point.x), number(point.y)) for point in ordered)
    head = ("Run", "Streams" if closed else "Rate", across, f"{title}, {unit}")
    return Chart(title, plot.svg(), f"The number beside a point is its {'streams' if closed else 'requests per second'}.", legend, head, rows)
