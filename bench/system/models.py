"""What the watch over the system under test comes to (models; no I/O). Each is defined once more, for people, in docs/system-under-test.md."""

from typing import Literal

from pydantic import Field

from bench.frozen import Frozen
from bench.system.readings import Source

Device = Literal["accelerators", "cpu packages"]
TIER = "informative, device level"
"""What energy read from a device's own counters may be called: no wall meter, no power supply, no fans."""


class SourceState(Frozen):
    """How one source answered; `samples` 0 and a reason: it could not be read at all."""

    samples: int = Field(ge=0)
    failures: int = Field(ge=0)
    reason: str = Field(description="Of the first failure; empty when there was none")


class WatchInfo(Frozen):
    """Everything about a watch that its rows do not say."""

    started_ns: int = Field(description="Monotonic clock at the start of the run these rows belong to")
    every_s: float
    metrics_url: str
    same_host: bool | None = Field(description="Whether the server's address is one of the load generator's machine; null: unknown")
    sources: dict[Source, SourceState]
    fault: str = Field(description="What went wrong with the watch itself; empty: nothing")


class Gauge(Frozen):
    """One value over the window, as sampled; null where no sample fell into it."""

    source: Source
    metric: str = Field(description="The unit stands in the name")
    labels: dict[str, str]
    samples: int
    min: float | None
    mean: float | None
    max: float | None


class Latency(Frozen):
    """One latency as the server tells it and as the client measured it: means over every request of the run, warm-up included."""

    server_ms: float | None = Field(description="From its histogram: what `_sum` grew by, over what `_count` grew by")
    server_count: int | None
    client_ms: float | None = Field(description="From the socket's stamps, counted from `sent`")
    client_count: int
    alarm: str = Field(description="In which direction they disagree by more than max(10 %, 5 ms), and what that usually means; empty: they agree")
    reason: str = Field(description="Why they are not compared; empty: they are")


class Offered(Frozen):
    """Requests the client sent, beside those the server counted: it must be the same load that both speak of."""

    sent: int = Field(description="Requests whose bytes went out, warm-up included, those sent twice counted twice, those refused with an HTTP status left out")
    answered: int = Field(description="Of these, the ones answered in full")
    server: int | None = Field(description="What the server's count of finished requests grew by")
    reason: str = Field(description="Why `server` is unknown, or why the run is invalid; empty: they agree")


class Energy(Frozen):
    """Energy over the window, of one kind of device. Never added up across kinds, and never of another machine than the server's."""

    device: Device
    source: Literal["nvml energy counter", "nvml power, integrated", "rapl package counter", ""]
    tier: str = TIER
    devices: int
    joules: float | None
    mean_w: float | None
    output_tokens_per_joule: float | None
    cross_check: float | None = Field(description="Integrated power over the counter, less 1; null where there is only one of them")
    reason: str = Field(description="Why it is unknown, or what to know beside it")


class SystemView(Frozen):
    """The system under test during one run: a pure function of system.parquet and the samples."""

    metrics_url: str
    every_s: float
    same_host: bool | None
    sources: dict[Source, SourceState]
    fault: str
    gauges: tuple[Gauge, ...]
    running: Gauge | None = Field(description="Requests in the engine's batches, added up over its engines")
    waiting: Gauge | None = Field(description="Requests in the engine's queue, added up over its engines")
    preemptions: int | None
    prompt_tokens: int | None = Field(description="As counted by the server over the run")
    generation_tokens: int | None
    prefix_cache_queries: int | None = Field(description="Prompt tokens that were looked for in the prefix cache during the run")
    prefix_cache_hits: int | None
    prefix_cache_hit_rate: float | None
    prompt_tokens_mean: float | None = Field(description="Prompt tokens of one request, by the usage blocks")
    ttft: Latency
    itl: Latency
    e2e: Latency
    offered: Offered
    energy: tuple[Energy, ...]
    alarms: tuple[str, ...]
    invalid_reasons: tuple[str, ...] = Field(description="Why the run must not be quoted, so far as the server's own counts tell")
