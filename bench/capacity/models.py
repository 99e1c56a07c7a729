"""What a capacity sweep found (models)."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from bench.capacity.curve import CurvePoint
from bench.capacity.level import Judgement, ServiceLevel
from bench.frozen import Frozen
from bench.workload import Workload
from stack.evidence.record import Host, Tool

SCHEMA = "stackproof.capacity/v1"

Kind = Literal["estimate", "search", "confirm", "closed"]
"""A first look with one stream; a short run of the search; a run long enough to certify; a point of the closed-loop sweep."""

Stopped = Literal["found", "ceiling", "floor", "levelled_off", "budget", "client_bound", "interrupted"]


class ProbeResult(Frozen):
    """One run of a sweep, in the folder `name`."""

    name: str
    kind: Kind
    rate: float | None = Field(description="Arrivals per second; null in closed loop")
    streams: int | None = Field(description="Users at once; null in open loop")
    attempt: int = Field(description="More than 1: earlier runs of this probe were cut short or client-bound")
    reused: bool = Field(description="Finished in an earlier call of this sweep, its samples read again")
    state: str
    reason: str = Field(description="Why it was stopped before its end")
    valid: bool = Field(description="The load generator kept up")
    invalid_reasons: tuple[str, ...] = Field(description="Empty when `valid`")
    judgement: Judgement | None = Field(description="Null where there was no service level to hold")
    point: CurvePoint

    @property
    def unfinished(self) -> bool:
        """Cut short by something other than a level out of reach."""
        return self.state not in ("complete", "given_up") if self.judgement is None else self.judgement.outcome == "unfinished"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it counts as it does."""
        return self.judgement.reasons if self.judgement is not None else self.invalid_reasons

    @property
    def load(self) -> float:
        """What the sweep varies: arrivals per second, or streams."""
        return self.rate if self.rate is not None else float(self.streams or 0)


class BracketFigures(Frozen):
    """Where the capacity lies: loads per second, or streams in a closed sweep."""

    low: float | None = Field(description="Highest load that held; null when none did")
    high: float | None = Field(description="Lowest load that did not; null when none failed")
    confirmed: bool = Field(description="`low` held in a run long enough to certify every percentile")


class CapacityResult(Frozen):
    """The outcome of `bench capacity`; every figure follows from the samples of its probes."""

    schema_version: str = SCHEMA
    mode: Literal["open", "closed"]
    workload: Workload
    url: str
    seed: int
    level: ServiceLevel | None
    precision: float
    highest: float = Field(description="No load above this was to be tried")
    devices: int
    capacity_requests_per_s: float | None = Field(description="Highest arrival rate confirmed, and within `precision` of one that failed; null: see `stopped`")
    bracket: BracketFigures
    stopped: Stopped
    why: str = Field(description="The same in a sentence")
    probes: tuple[ProbeResult, ...]
    created_at: datetime
    elapsed_s: float = Field(description="Of this call alone")
    tool: Tool
    host: Host

    @property
    def succeeded(self) -> bool:
        """A rate was confirmed; for a curve, that it went to its end."""
        return self.capacity_requests_per_s is not None if self.mode == "open" else self.stopped in ("levelled_off", "ceiling")
