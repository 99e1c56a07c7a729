"""What a run is and what it gave: the description kept with the samples, and the published summary (models; no I/O)."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from bench.calibration.models import CalibrationNote
from bench.frozen import Frozen
from bench.quality.models import QualityView
from bench.system.models import SystemView
from bench.workload.models import Workload
from bench.workload.slo import Slo

SCHEMA = "stackproof.bench/v1"
METRICS_VERSION = 2
"""Raised when a stamp is taken elsewhere or a definition of docs/metrics.md changes: runs of two versions are not compared."""

Interval = tuple[float, float]

State = Literal["complete", "interrupted", "given_up", "stopped", "disk_full", "worker_lost"]
"""Ran to its end; stopped by a signal, because the endpoint answered none of the first requests, by the caller's own rule, because the
disk was full, or because a worker died (or the whole run did, and was recovered)."""


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


class WorkerInfo(Frozen):
    """One process of the load generator."""

    worker: int
    host: str = ""
    clock_offset_ns: int = Field(default=0, description="Its monotonic clock minus the leader's; taken off its stamps")
    clock_uncertainty_ns: int = Field(default=0, description="Half of the shortest round trip the offset was measured with")
    state: State
    health: ClientHealth | None = Field(description="Null for a worker that died")


class ClientFigures(ClientHealth):
    """The same, held against the work done."""

    cpu_us_per_token: float | None = Field(description="`cpu_s` over all content events received; null when there were none")
    events_per_read: float | None = Field(
        default=None, description="Content events over the reads that brought any; above 1: they waited, or were sent together"
    )
    missed_slots: int = Field(default=0, description="Open loop: arrivals taken up later than one mean gap and 1 ms after they were due")


class RunInfo(Frozen):
    """Everything about a run that its samples do not say; stands in the metadata of requests.parquet."""

    schema_version: str = SCHEMA
    metrics_version: int = METRICS_VERSION
    workload: Workload
    seed: int
    url: str
    tool: ToolInfo
    started_at: datetime = Field(description="Wall time in UTC, for people")
    started_ns: int = Field(description="Monotonic clock at the start: what all stamps are relative to")
    state: State
    reason: str = Field(default="", description="Why it ended early")
    client: ClientHealth = Field(description="Over all workers: CPU seconds added up, of the rest the worst")
    workers: tuple[WorkerInfo, ...] = ()
    calibration: CalibrationNote | None = Field(default=None, description="What `bench calibrate` had found of this client, where it was given")
    inputs: dict[str, str] = Field(default_factory=dict, description="SHA-256 of each file that the workload names, by field; empty: not recorded")
    cache_reset: str = Field(default="", description="Whether the prefix cache was emptied first: reset, off, or not reset and why; empty: not recorded")
    shared_share: float | None = Field(default=None, description="Share of prompt tokens that prompts have in common by design; null: unknown")


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


class Intervals(Frozen):
    """Between what bounds the true value lies with 95 % confidence; null where that cannot be said, and `note` of the metric says why."""

    mean: Interval | None = None
    p50: Interval | None = None
    p90: Interval | None = None
    p95: Interval | None = None
    p99: Interval | None = None


class Distribution(Frozen):
    """Some values; all null when nothing was counted. `note` says why something is withheld."""

    count: int = 0
    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    min: float | None = None
    max: float | None = None
    note: str = ""


class Metric(Distribution):
    """A distribution, and what can be said of it beyond this run."""

    certified: Certified = Certified()
    missing_samples: MissingSamples = MissingSamples()
    interval_95: Intervals = Intervals()


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
    interval_95: Interval | None = Field(default=None, description="Of `share`: Wilson's score interval")
    requests_per_s: float | None


class VllmColumns(Frozen):
    """`vllm bench serve` (chat), 0.32. t0: the request is taken up, before it connects; events: any with a choice, also role-only, empty and finish."""

    ttft_ms: Distribution = Field(description="first event with a choice - t0 (endpoint_request_func.py)")
    tpot_ms: Distribution = Field(description="(last event - first event) / (N - 1) where N > 1, requests of equal weight (serve.py:calculate_metrics)")
    itl_ms: Distribution = Field(description="gaps between successive events with a choice, all pooled (endpoint_request_func.py)")
    e2el_ms: Distribution = Field(description="last event with a choice - t0 (endpoint_request_func.py)")


class GuidellmColumns(Frozen):
    """guidellm 0.8. t0: the first byte is written; N: usage, else content events; percentiles: smallest value that reaches the share."""

    ttft_ms: Distribution = Field(description="first content - t0 (request_stats.py:time_to_first_token_ms)")
    tpot_ms: Distribution = Field(description="(last content - t0) / N, weighted by N: includes the TTFT (time_per_output_token_ms)")
    itl_ms: Distribution = Field(description="(last content - first content) / (N - 1), weighted by N - 1 (inter_token_latency_ms)")
    request_latency_ms: Distribution = Field(description="end of the stream - t0 (request_latency)")


class AiperfColumns(Frozen):
    """AIPerf 0.13. t0: the request is taken up, before it connects; N: usage (its --use-server-token-count)."""

    ttft_ms: Distribution = Field(description="first content - t0 (ttft_metric.py)")
    itl_ms: Distribution = Field(description="(last content - first content) / (N - n_first) where N >= 2, one value a request (inter_token_latency_metric.py)")
    icl_ms: Distribution = Field(description="gaps between content events, all pooled (inter_chunk_latency_metric.py)")
    request_latency_ms: Distribution = Field(description="last content - t0 (request_latency_metric.py)")


class Compat(Frozen):
    """The same run by the definitions of other tools, for comparison with old numbers only."""

    vllm: VllmColumns
    guidellm: GuidellmColumns
    aiperf: AiperfColumns


class TailPercentiles(Frozen):
    """Null also where a percentile is infinite."""

    count: int = 0
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None


class WithFailures(Frozen):
    """Latencies in which each failed request counts as infinitely slow."""

    failed_share: float | None
    ttft_ms: TailPercentiles
    tpot_ms: TailPercentiles
    e2e_ms: TailPercentiles
    note: str = ""


class TokenCheck(Frozen):
    """The tokens the server's usage claims, against what arrived; `agrees` is null where nothing could be checked."""

    by: Literal["text", "chunks"] | None = Field(default=None, description="Counted by a tokenizer in the text, or one token a content event")
    requests: int = 0
    usage_tokens: int = 0
    received_tokens: int = 0
    mismatch: float | None = Field(default=None, description="Tokens that differ, as a share of `usage_tokens`")
    agrees: bool | None = Field(default=None, description="Whether `mismatch` is at most 1 %")
    note: str = ""


class SeriesLevel(Frozen):
    """What the batch means of one series say."""

    batches: int
    transient_until_s: float | None = Field(description="When a transient at the start had passed; null: there was none")
    shift_at_s: float | None = Field(description="First batch of another level; null: there was no shift")
    shift: float = Field(description="Size of the shift as a share of the level before it; 0 without one")
    p_value: float = Field(description="Of no shift (Pettitt)")


class Steady(Frozen):
    """Whether the server stayed on one level; null where that cannot be judged, and `note` says why."""

    steady: bool | None = None
    from_s: float | None = Field(default=None, description="From when on the run is judged: the end of the transient")
    output: SeriesLevel | None = Field(default=None, description="Output tokens per second")
    ttft: SeriesLevel | None = Field(default=None, description="Time to first token")
    method: str
    note: str = ""


class Summary(Frozen):
    """The published result of one run. Nothing in it is taken from anywhere but the samples."""

    schema_version: str = SCHEMA
    metrics_version: int = METRICS_VERSION
    state: State
    valid: bool = Field(description="Whether the figures may be quoted: they speak of the server, not of the load generator, and are not void")
    invalid_reasons: tuple[str, ...]
    notes: tuple[str, ...] = Field(description="What a reader must know beside the figures")
    requests: Requests
    rates: Rates
    whole_run_rates: Rates
    window: Window | None
    metrics: Metrics
    tokens_per_chunk: float | None
    goodput: Goodput | None
    with_failures: WithFailures
    compat: Compat
    token_check: TokenCheck
    steady: Steady
    system: SystemView | None = Field(default=None, description="The server and its machine while the run lasted; null: not watched")
    quality: QualityView | None = Field(default=None, description="Whether answers were right and long enough; null: the workload does not ask")
    client: ClientFigures
    workload: Workload
    inputs: dict[str, str] = Field(default_factory=dict, description="SHA-256 of each file that the workload names, by field")
    cache_reset: str = Field(default="", description="Whether the prefix cache was emptied first: reset, off, or not reset and why")
    seed: int
    url: str
    calibration: CalibrationNote | None = None
    started_at: datetime
    tool: ToolInfo
