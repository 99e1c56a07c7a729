"""What a run does (models)."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from bench.frozen import Frozen
from bench.workload.arrivals import Arrivals, Closed, ConcurrencySteps, Steps, Trace
from bench.workload.prompts import LengthReference, Prompts, Quality, TracePrompts
from bench.workload.slo import PRESETS, Slo

Seconds = Annotated[float, Field(gt=0, le=604_800, allow_inf_nan=False)]
Precise = Literal["ttft_ms", "tpot_ms", "e2e_ms"]


class Precision(Frozen):
    """Stop once the interval of a mean is narrow enough, or at `requests` or `duration_s` all the same."""

    metric: Precise = "ttft_ms"
    relative_half_width: float = Field(default=0.05, gt=0, lt=1, description="Half the 95 % interval of the mean, as a share of the mean")
    min_requests: int = Field(default=100, ge=30, description="Not before so many measured answers")


class Stop(Frozen):
    """When the measured phase ends: after so many requests, so many seconds, or whichever comes first."""

    requests: int | None = Field(default=None, ge=1, description="Measured requests")
    duration_s: Seconds | None = Field(default=None, description="Seconds from the start of the measured phase to the last send")
    precision: Precision | None = None


class Warmup(Frozen):
    """Requests sent first, in the same load pattern and without a pause after them, and left out of every figure."""

    requests: int = Field(default=0, ge=0)
    duration_s: float = Field(default=0.0, ge=0, le=86_400, description="Goes on for at least so long")


class Drain(Frozen):
    """What happens to requests in flight when the last one has been sent."""

    timeout_s: float | None = Field(default=None, ge=0, le=86_400, description="Cancel what is not over by then; null: wait for all, each up to timeout_s")


class CacheGuard(Frozen):
    """Keeps a warm prefix cache from answering for the model."""

    reset: Literal["auto", "off", "required"] = Field(
        default="auto", description="Empty the server's prefix cache before the run: where it offers that, never, or else refuse to run"
    )
    max_hit_rate: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Invalid when a larger share of prompt tokens came from the cache; null: what prompts share by design, plus 0.05",
    )


class Workload(Frozen):
    """One load pattern against one model."""

    name: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$", description="Empty: the name of the file")
    model: str | None = Field(default=None, min_length=1, description="Model name to ask for; may be given with --model instead")
    arrivals: Arrivals
    prompts: Prompts
    stop: Stop = Field(default=Stop(), validate_default=True, description="May be left out where arrivals end by themselves (steps, concurrency_steps, trace)")
    warmup: Warmup = Warmup()
    drain: Drain = Drain()
    slo: Slo | None = Field(default=None, description=f"Limits of one request, or a preset's name: {', '.join(PRESETS)}")
    cache: CacheGuard = CacheGuard()
    quality: Quality | None = None
    reference: LengthReference | None = None
    temperature: float = Field(default=0.0, ge=0, le=2)
    extra_body: dict[str, Any] = Field(default_factory=dict, description="Further fields of the request's JSON body")
    timeout_s: float = Field(default=600.0, gt=0, le=86_400, description="Longest time from sending a request to the end of its answer")

    @property
    def open_loop(self) -> bool:
        """Whether arrivals follow the clock, and latency therefore counts from the intended time."""
        return not isinstance(self.arrivals, Closed)

    @field_validator("slo", mode="before")
    @classmethod
    def _preset(cls, given: Any) -> Any:
        if isinstance(given, str):
            if given not in PRESETS:
                raise ValueError(f"no preset {given!r}: give limits or one of {', '.join(PRESETS)}")
            return PRESETS[given]
        return given

    @field_validator("prompts")
    @classmethod
    def _trace_has_lengths(cls, prompts: Prompts, info: ValidationInfo) -> Prompts:
        if isinstance(prompts, TracePrompts) and not isinstance(info.data.get("arrivals"), Trace | None):
            raise ValueError("kind trace needs arrivals of kind trace, whose lengths it takes")
        return prompts

    @field_validator("stop")
    @classmethod
    def _ends(cls, stop: Stop, info: ValidationInfo) -> Stop:
        if stop.requests is None and stop.duration_s is None and not isinstance(info.data.get("arrivals"), ConcurrencySteps | Steps | Trace | None):
            raise ValueError("give requests, duration_s or both")
        return stop
