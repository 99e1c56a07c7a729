"""Points of the latency-throughput and the per-user/per-device curves, from the same runs (pure functions)."""

import csv
import io
from collections.abc import Iterable

from pydantic import Field

from bench.frozen import Frozen
from bench.results.summary import Metric, Summary


class CurvePoint(Frozen):
    """One run on the curve; null where the run does not tell."""

    name: str = Field(description="Folder of the run")
    streams: int | None = Field(description="Closed loop: users at once")
    rate: float | None = Field(description="Open loop: arrivals per second that were asked for")
    valid: bool = Field(description="Whether the figures speak of the server")
    steady: bool = Field(description="False when the queue grew until the end: latencies then depend on how long the run was")
    requests: int = Field(description="Successful ones")
    requests_per_s: float | None
    output_tokens_per_s: float | None
    tokens_per_s_per_user: float | None = Field(description="1000 / median tpot_ms: how fast one user sees an answer grow")
    tokens_per_s_per_device: float | None = Field(description="output_tokens_per_s / number of devices")
    ttft_ms_p50: float | None
    ttft_ms_p90: float | None
    ttft_ms_p99: float | None
    ttft_ms_certified_p99: float | None
    tpot_ms_p50: float | None
    tpot_ms_p90: float | None
    tpot_ms_p99: float | None
    tpot_ms_certified_p99: float | None
    e2e_ms_p50: float | None
    e2e_ms_p90: float | None
    e2e_ms_p99: float | None
    e2e_ms_certified_p99: float | None


class Curve(Frozen):
    """All points of a sweep, by load."""

    schema_version: str = "stackproof.curve/v1"
    workload: str
    model: str | None
    devices: int
    points: tuple[CurvePoint, ...]


def curve_point(name: str, summary: Summary, *, devices: int, steady: bool, valid: bool, streams: int | None = None, rate: float | None = None) -> CurvePoint:
    """The point of one run; `valid` is the sweep's word, since a probe ended early on purpose is not invalid for that."""
    metrics, rates = summary.metrics, summary.rates
    tpot_ms = metrics.tpot_ms.p50
    return CurvePoint(
        name=name,
        streams=streams,
        rate=rate,
        valid=valid,
        steady=steady,
        requests=summary.requests.ok,
        requests_per_s=rates.requests_per_s,
        output_tokens_per_s=rates.output_tokens_per_s,
        tokens_per_s_per_user=1000 / tpot_ms if tpot_ms else None,
        tokens_per_s_per_device=None if rates.output_tokens_per_s is None else rates.output_tokens_per_s / devices,
        **_latencies("ttft_ms", metrics.ttft_ms),
        **_latencies("tpot_ms", metrics.tpot_ms),
        **_latencies("e2e_ms", metrics.e2e_ms),
    )


def curve_csv(points: Iterable[CurvePoint]) -> str:
    """One line a point, columns as the fields; empty where null."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(CurvePoint.model_fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows(point.model_dump(mode="json") for point in points)
    return out.getvalue()


def levelled_off(throughputs: list[float], *, gain: float = 0.1) -> bool:
    """Whether the last step of a growing load brought less than `gain` over the best throughput before it: the knee, on any hardware."""
    return len(throughputs) >= 2 and throughputs[-1] < (1 + gain) * max(throughputs[:-1])


def _latencies(name: str, metric: Metric) -> dict[str, float | None]:
    return {f"{name}_p50": metric.p50, f"{name}_p90": metric.p90, f"{name}_p99": metric.p99, f"{name}_certified_p99": metric.certified.p99}
