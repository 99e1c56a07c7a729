"""What was measured of a machine (models; no I/O).

A value that could not be measured is None, and `reason` says why. Rates are decimal: 1 GB/s is 1e9 bytes a second.
"""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from stack.evidence import FigureClass

SCHEMA = "stackproof.profile/v1"

Unit = Literal["GFLOP/s", "GOP/s", "GB/s", "us"]
SCALE: dict[Unit, float] = {"GFLOP/s": 1e9, "GOP/s": 1e9, "GB/s": 1e9, "us": 1e-6}


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Group(StrEnum):
    """What `--only` chooses from, in the order in which it is measured."""

    GEMM = "gemm"
    MEMORY = "memory"
    COPIES = "copies"
    COLLECTIVES = "collectives"
    STORAGE = "storage"
    NETWORK = "network"


class Status(StrEnum):
    OK = "ok"
    SUSPICIOUS = "suspicious"
    INVALID = "invalid"
    NOISY = "noisy"
    NOT_SUPPORTED = "not_supported"
    SKIPPED = "skipped"


class Conditions(Frozen):
    """The machine at one moment. What cannot be read here is None."""

    load_1m: float | None = Field(description="Run queue averaged over a minute; the profile's own work raises it")
    cpu_mhz: float | None = Field(description="Mean of the cores' clocks as the kernel states them; of a guest often only the nominal one")
    cpu_celsius: float | None = Field(description="The hottest thermal zone")
    cpu_throttle_events: int | None = Field(description="Since boot, over all cores")
    gpu_sm_mhz: int | None = None
    gpu_memory_mhz: int | None = None
    gpu_celsius: int | None = None
    gpu_throttle_reasons: int | None = Field(default=None, description="NVML's bit mask of current clock event reasons")


class Disturbance(Frozen):
    """What else happened while a result was timed."""

    seconds: float = Field(ge=0)
    steal_share: float | None = Field(description="Of the machine's CPU time, taken by the hypervisor")
    others_share: float | None = Field(description="Of the machine's CPU time, used by processes that are not the profile's; None for a time too short to tell")
    throttled_s: float | None = Field(description="Time this control group waited for its quota, summed over its threads")


class Peak(Frozen):
    """The most the hardware is said to do, in the result's unit."""

    value: float = Field(gt=0)
    kind: FigureClass
    source: str


class Energy(Frozen):
    """Of the timed part, by a counter of the hardware."""

    joules: float = Field(ge=0)
    meter: str = Field(description="rapl: all packages of the CPU; nvml: the whole board")
    joules_per_unit: float | None = Field(description="Per operation (GEMM) or per byte (everything else that has a rate)")


class Point(Frozen):
    """One place of a sweep, by its median."""

    shape: tuple[int, ...]
    threads: int | None
    value: float
    repetitions: int


class Result(Frozen):
    """One thing measured. `samples_s` holds every timed repetition, from which all its figures can be worked out again."""

    name: str = Field(pattern=r"^[a-z0-9_.]+$")
    group: Group
    dtype: str | None = None
    shape: tuple[int, ...] = Field(default=(), description="GEMM: rows, inner, columns. Otherwise: elements or bytes of one array, message or file")
    unit: Unit
    work: float | None = Field(default=None, description="Operations or bytes of one repetition; None for a latency")
    best: float | None = None
    median: float | None = None
    p10: float | None = None
    p90: float | None = None
    p99: float | None = Field(default=None, description="Of latencies only")
    cv: float | None = Field(default=None, description="Standard deviation over mean of the repetitions' times")
    repetitions: int = 0
    threads: int | None = None
    working_set_bytes: int | None = None
    verified: bool | None = Field(default=None, description="Whether what was computed, moved or read is right; None where it was not checked")
    peak: Peak | None = None
    peak_unknown: str = Field(default="", description="Why there is no peak")
    share_of_peak: float | None = None
    energy: Energy | None = None
    status: Status
    reason: str = ""
    note: str = Field(default="", description="How it was counted")
    before: Conditions | None = None
    after: Conditions | None = None
    during: Disturbance | None = None
    samples_s: tuple[float, ...] = ()
    sweep: tuple[Point, ...] = ()


class Engine(Frozen):
    """What does the computing: the libraries under torch, and the settings that change them."""

    torch: str | None
    blas: str | None = Field(description="torch's build setting")
    cpu_capability: str | None = Field(description="The vector path torch chose for its own kernels")
    libraries: tuple[str, ...] = Field(description="Numerical libraries loaded into the process, by file name")
    environment: dict[str, str] = Field(description="Variables that change kernels or threads")


class Profile(Frozen):
    """Everything one `stackproof profile` measured."""

    schema_version: str = SCHEMA
    started_at: datetime
    seconds: float
    complete: bool = Field(description="False when it was interrupted: what was measured until then is here")
    device: str = Field(description="cpu or cuda:N")
    device_name: str
    cores: int
    last_level_cache_bytes: int | None
    engine: Engine
    warnings: tuple[str, ...] = ()
    results: tuple[Result, ...]

    def find(self, name: str) -> Result | None:
        return next((result for result in self.results if result.name == name), None)

    @property
    def doubtful(self) -> tuple[Result, ...]:
        """Those that must not be quoted as they are."""
        return tuple(result for result in self.results if result.status in {Status.INVALID, Status.NOISY})
