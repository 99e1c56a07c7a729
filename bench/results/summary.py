"""What a run is and what it gave: the description kept with the samples, and the published summary (models; no I/O)."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from bench.frozen import Frozen
from bench.workload.models import Workload
from bench.workload.slo import Slo

SCHEMA = "stackproof.bench/v1"

State = Literal["complete", "interrupted", "given_up"]
"""Ran to its end; stopped by a signal; stopped because the endpoint answered none of the first requests."""


class ToolInfo(Frozen):
    """The program that measured."""

    name: str = "stackproof"
    version: str
    commit: str = ""
    dirty: bool | None = None


class ClientHealth(Frozen):
    """What the load generator used and suffered, from the first request to the last answer."""

    cpu_s: float = Field(description="User and system CPU seconds of the whole process")
    cpu_share: float = Field(description="`cpu_s` over the wall time: 1 is one core all the time")
    loop_lag_ms_mean: float | None = Field(description="How late a call asked for every 10 ms came, on average; null for a run shorter than that")
    loop_lag_ms_p99: float | None
    start_s: float = Field(description="From the call of the run to its first request, connections included")
    peak_rss_mb: float = Field(description="Largest resident memory of the process, MiB")


class ClientFigures(ClientHealth):
    """The same, held against the work done."""

    cpu_us_per_token: float | None = Field(description="`cpu_s` over all content events received; null when there were none")


class RunInfo(Frozen):
    """Everything about a run that its samples do not say; stands in the metadata of requests.parquet."""

    schema_version: str = SCHEMA
    workload: Workload
    seed: int
    url: str
    tool: ToolInfo
    started_at: datetime = Field(description="Wall time in UTC, for people")
    started_ns: int = Field(description="Monotonic clock at the start: what all stamps are relative to")
    state: State
    client: ClientHealth


class Certified(Frozen):
    """Upper bounds that hold with 99 % confidence (MLPerf early stopping); null below the floor of samples."""

    p90: float | None = None
    p95: float | None = None
    p99: float | None = None


class MissingSamples(Frozen):
    """How many more samples each certified percentile needs."""

    p90: int = 0
    p95: int = 0
    p99: int = 0


class Metric(Frozen):
    """A distribution; all null when nothing was counted. `note` says why something is withheld."""

    count: int = 0
    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    min: float | None = None
    max: float | None = None
    certified: Certified = Certified()
    missing_samples: MissingSamples = MissingSamples()
    note: str = ""


class Metrics(Frozen):
    """Each is defined once, in docs/metrics.md."""

    ttft_ms: Metric
    ttft_from_sent_ms: Metric
    ttft_visible_ms: Metric
    tpot_ms: Metric
    chunk_gap_ms: Metric
    itl_ms: Metric
    e2e_ms: Metric
    e2e_closed_ms: Metric
    send_lag_ms: Metric


class Requests(Frozen):
    """Measured requests; `sent` = `ok` + `failed` + `cancelled`."""

    sent: int
    ok: int
    failed: int
    cancelled: int
    warmup: int = Field(description="Sent before the measured ones and left out of every figure")
    by_class: dict[str, int] = Field(description="Failed requests by class: refused, timeout, truncated, malformed, http_<status>")


class Window(Frozen):
    """The stretch of the run that rates are counted over."""

    kind: Literal["steady", "whole_run"]
    start_s: float
    end_s: float


class Rates(Frozen):
    """Per second of the window."""

    requests_per_s: float | None
    output_tokens_per_s: float | None
    input_tokens_per_s: float | None
    offered_requests_per_s: float | None


class Goodput(Frozen):
    """Requests that met every limit of the service level; a failed one did not."""

    slo: Slo
    good: int
    share: float | None
    requests_per_s: float | None


class Summary(Frozen):
    """The published result of one run. Nothing in it is taken from anywhere but the samples."""

    schema_version: str = SCHEMA
    state: State
    valid: bool = Field(description="Whether the figures speak of the server and not of the load generator")
    invalid_reasons: tuple[str, ...]
    notes: tuple[str, ...] = Field(description="What a reader must know beside the figures")
    requests: Requests
    rates: Rates
    whole_run_rates: Rates
    window: Window | None
    metrics: Metrics
    tokens_per_chunk: float | None
    goodput: Goodput | None
    client: ClientFigures
    workload: Workload
    seed: int
    url: str
    started_at: datetime
    tool: ToolInfo
