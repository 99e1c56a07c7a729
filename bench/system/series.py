"""The rows of system.parquet as series in time (logic)."""

import json
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.system.readings import Source
from bench.system.table import SystemTable

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """Values of one metric with one set of labels; `t_ns` ascends."""

    source: Source
    metric: str
    labels: dict[str, str]
    t_ns: Floats
    values: Floats

    def grown(self, first_ns: float) -> float | None:
        """How much a counter grew; from 0 when it appeared after the source's first sample at `first_ns`. None when it ever went back."""
        if (np.diff(self.values) < 0).any():
            return None
        return float(self.values[-1] - (self.values[0] if self.t_ns[0] <= first_ns else 0.0))


class SeriesBook:
    """All series of a run. Of the engine's, those of `model` alone where it serves that name and others."""

    def __init__(self, table: SystemTable, *, model: str | None) -> None:
        found: dict[tuple[Source, str, str], list[tuple[int, float]]] = defaultdict(list)
        columns = [table.rows[name].to_pylist() for name in ("t_ns", "source", "metric", "labels", "value")]
        for t_ns, source, metric, labels, value in zip(*columns, strict=True):
            found[source, metric, labels].append((t_ns, value))
        series = [_series(source, metric, labels, sorted(points)) for (source, metric, labels), points in found.items()]
        if any(each.labels.get("model_name") == model for each in series):
            series = [each for each in series if each.labels.get("model_name", model) == model]
        self.all = tuple(series)
        engine = [each.t_ns for each in series if each.source == "engine"]
        self.engine_span_ns = (float(min(t[0] for t in engine)), float(max(t[-1] for t in engine))) if engine else None

    def of(self, source: Source, metric: str) -> list[Series]:
        return [each for each in self.all if (each.source, each.metric) == (source, metric)]

    def grown(self, metric: str) -> float | None:
        """How much a counter of the engine's grew over all its labels; None when it is not there or ever went back."""
        if self.engine_span_ns is None or not (series := self.of("engine", metric)):
            return None
        grown = [each.grown(self.engine_span_ns[0]) for each in series]
        return None if None in grown else float(sum(value for value in grown if value is not None))

    def added(self, metric: str) -> Series | None:
        """A gauge of the engine's added up over its labels, moment by moment."""
        if not (series := self.of("engine", metric)):
            return None
        sums: dict[float, float] = defaultdict(float)
        for each in series:
            for t_ns, value in zip(each.t_ns.tolist(), each.values.tolist(), strict=True):
                sums[t_ns] += value
        times = sorted(sums)
        return Series("engine", metric, {}, np.array(times), np.array([sums[t_ns] for t_ns in times]))


def _series(source: Source, metric: str, labels: str, points: list[tuple[int, float]]) -> Series:
    t_ns, values = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
    return Series(source, metric, _labels(labels), t_ns, values)


def _labels(text: str) -> dict[str, str]:
    try:
        return {str(name): str(value) for name, value in json.loads(text).items()}
    except (ValueError, AttributeError):
        return {}
