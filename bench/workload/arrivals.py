"""When requests, or the sessions they belong to, arrive (models)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from bench.frozen import Frozen

Rate = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False, description="Mean arrivals per second")]
Seconds = Annotated[float, Field(gt=0, le=604_800, allow_inf_nan=False, description="Seconds it lasts")]


STREAM_SPACING_S = 0.001
LONGEST_SPREAD_S = 1.0
"""Streams start 1 ms apart, but all within 1 s: started at once they would stay in step and meet the server as bursts."""


class Concurrency(Frozen):
    """Closed loop: `streams` users, each sends its next request as soon as the last one is answered."""

    kind: Literal["concurrency"]
    streams: int = Field(ge=1, le=100_000, description="Requests in flight at all times")
    ramp_s: float | None = Field(
        default=None, ge=0, le=86_400, description="Start the streams evenly spread over so many seconds; null: 1 ms apart, but within 1 s; 0: all at once"
    )

    @property
    def spread_s(self) -> float:
        """From the first stream's start to the last one's."""
        return self.ramp_s if self.ramp_s is not None else min(STREAM_SPACING_S * (self.streams - 1), LONGEST_SPREAD_S)


class StreamStep(Frozen):
    """So many streams for so long."""

    streams: int = Field(ge=1, le=100_000, description="Requests in flight while the step lasts")
    duration_s: Seconds


class ConcurrencySteps(Frozen):
    """Closed loop whose number of streams changes in steps; the run ends with the last one."""

    kind: Literal["concurrency_steps"]
    steps: tuple[StreamStep, ...] = Field(min_length=1, description="One after another, without a pause")


class _Open(Frozen):
    """Open loop: arrivals follow the clock, whether or not the server keeps up."""

    max_in_flight: int | None = Field(
        default=None, ge=1, description="Send at most so many at once; further arrivals wait, in order, and their wait counts as latency. None is dropped"
    )


class Constant(_Open):
    """Open loop: arrival k at exactly (k + 1) / rate."""

    kind: Literal["constant"]
    rate: Rate


class Poisson(_Open):
    """Open loop: arrivals at independent, exponentially distributed gaps."""

    kind: Literal["poisson"]
    rate: Rate


class Gamma(_Open):
    """Open loop: independent gamma-distributed gaps of mean 1 / rate; `shape` below 1 is burstier than Poisson, 1 is Poisson, above 1 smoother."""

    kind: Literal["gamma"]
    rate: Rate
    shape: float = Field(gt=0, le=1000, allow_inf_nan=False, description="vLLM's --burstiness, AIPerf's --arrival-smoothness")


Spacing = Annotated[Literal["poisson", "constant"], Field(description="Independent arrivals at that rate, or evenly spaced ones")]


class RateStep(Frozen):
    """One rate for so long."""

    rate: Rate
    duration_s: Seconds


class Steps(_Open):
    """Open loop whose rate changes in steps; the run ends with the last one."""

    kind: Literal["steps"]
    steps: tuple[RateStep, ...] = Field(min_length=1, description="One after another, without a pause")
    spacing: Spacing = "poisson"


class Ramp(_Open):
    """Open loop whose rate grows or falls linearly over `duration_s`, and stays at `to_rate` after it."""

    kind: Literal["ramp"]
    from_rate: Rate = Field(description="Mean arrivals per second at the start")
    to_rate: Rate = Field(description="Mean arrivals per second from the end of the ramp on")
    duration_s: Seconds
    spacing: Spacing = "poisson"


class Trace(_Open):
    """Open loop at the times of a recorded trace. With `prompts: {kind: trace}` its lengths, and Mooncake's prefixes, are replayed as well."""

    kind: Literal["trace"]
    file: Path = Field(description="Beside the workload file, unless absolute")
    format: Literal["azure", "burstgpt", "mooncake"] = Field(description="Azure LLM inference CSV, BurstGPT CSV or Mooncake JSONL")
    speedup: float = Field(default=1.0, ge=0.001, le=1_000_000, description="2 plays the trace in half its time")
    from_s: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Leave out what came earlier, in seconds of the trace since its first row")


Closed = Concurrency | ConcurrencySteps
Open = Constant | Poisson | Gamma | Steps | Ramp | Trace
Arrivals = Annotated[Closed | Open, Field(discriminator="kind")]
