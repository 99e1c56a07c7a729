"""What a run does, as a validated YAML file (models; the only I/O is reading that file)."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.errors import BenchError
from stack.runtime.errors import describe_validation

CATALOG = Path(__file__).parent / "workloads"


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Concurrency(Frozen):
    """Closed loop: `streams` users, each sends its next request as soon as the last one is answered."""

    kind: Literal["concurrency"]
    streams: int = Field(ge=1, le=100_000, description="Requests in flight at all times")


class Poisson(Frozen):
    """Open loop: arrivals at independent, exponentially distributed gaps, whether or not the server keeps up."""

    kind: Literal["poisson"]
    rate: float = Field(gt=0, le=1_000_000, allow_inf_nan=False, description="Mean arrivals per second")


class _Prompts(Frozen):
    max_tokens: int = Field(ge=1, description="Most output tokens of one reply")
    ignore_eos: bool = Field(default=False, description="Ask the engine (vLLM) to go on to exactly max_tokens, so that output lengths are fixed")
    salt: bool = Field(default=True, description="Begin each prompt with a word of its own, so that no prefix cache can answer for the model")


class TextPrompt(_Prompts):
    """The same text in every request."""

    kind: Literal["text"]
    text: str = Field(min_length=1)


class TextsPrompts(_Prompts):
    """For each request one of several texts, drawn uniformly with replacement."""

    kind: Literal["texts"]
    texts: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)


class Stop(Frozen):
    """When the measured phase ends: after so many requests, so many seconds, or whichever comes first."""

    requests: int | None = Field(default=None, ge=1, description="Measured requests")
    duration_s: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="Seconds from the start of the measured phase to the last send")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.requests is None and self.duration_s is None:
            raise ValueError("give requests, duration_s or both")
        return self


class Warmup(Frozen):
    """Requests sent first, in the same load pattern and without a pause after them, and left out of every figure."""

    requests: int = Field(default=0, ge=0)


class Slo(Frozen):
    """The service level one request must meet to count as good."""

    ttft_ms: float | None = Field(default=None, gt=0)
    tpot_ms: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.ttft_ms is None and self.tpot_ms is None:
            raise ValueError("give ttft_ms, tpot_ms or both")
        return self


class Workload(Frozen):
    """One load pattern against one model."""

    name: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$", description="Empty: the name of the file")
    model: str | None = Field(default=None, min_length=1, description="Model name to ask for; may be given with --model instead")
    arrivals: Annotated[Concurrency | Poisson, Field(discriminator="kind")]
    prompts: Annotated[TextPrompt | TextsPrompts, Field(discriminator="kind")]
    stop: Stop
    warmup: Warmup = Warmup()
    slo: Slo | None = None
    temperature: float = Field(default=0.0, ge=0, le=2)
    timeout_s: float = Field(default=600.0, gt=0, le=86_400, description="Longest life of one request, from its intended start")

    @property
    def open_loop(self) -> bool:
        """Whether arrivals follow the clock, and latency therefore counts from the intended time."""
        return not isinstance(self.arrivals, Concurrency)


def load_workload(source: str | Path, *, model: str | None = None) -> Workload:
    """Read a workload file, or a ready one by name; `model` replaces the file's. BenchError names the faulty field."""
    path = _find(source)
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise BenchError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"{path}: cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise BenchError(f"{path}: must hold one mapping with model, arrivals, prompts and stop")
    document = {**document, "name": document.get("name") or re.sub(r"[^A-Za-z0-9._-]", "-", path.stem)}
    if model is not None:
        document["model"] = model
    try:
        return Workload.model_validate(document)
    except ValidationError as error:
        raise BenchError(describe_validation(error, source=str(path))) from None


def ready_workloads() -> list[Path]:
    """The files of the workloads that come with the package."""
    return sorted(CATALOG.glob("*.yaml"))


def _find(source: str | Path) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    ready = {each.stem: each for each in ready_workloads()}
    if str(source) in ready:
        return ready[str(source)]
    raise BenchError(f"workload {source}: neither a file nor one of the ready ones ({', '.join(ready)})")
