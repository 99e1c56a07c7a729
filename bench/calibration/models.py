"""The error curve of the load generator (models)."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from bench.frozen import Frozen
from bench.workload import Workload
from stack.evidence.record import Host, Tool

SCHEMA = "stackproof.calibration/v1"

Loop = Literal["closed", "open"]


class Spread(Frozen):
    """A distribution in a few figures."""

    mean: float
    p50: float
    p99: float


class CalibrationPoint(Frozen):
    """One load: what the client saw minus what the server did, over the requests both know."""

    name: str = Field(description="Folder of the run")
    loop: Loop
    load: float = Field(description="Streams in closed loop, requests per second in open loop")
    share: float | None = Field(description="Of the planned load; null in the ready curves")
    requests: int = Field(description="Measured, successful, and in the server's log")
    offered_requests_per_s: float | None
    output_tokens_per_s: float | None
    delivered_share: float | None = Field(description="Load that reached the server over the planned one")
    true_ttft_ms: float = Field(description="Mean of first emission - request received, by the server's log")
    ttft_error_ms: Spread = Field(description="Of each request: the client's ttft_ms minus the server's")
    ttft_error_share: float = Field(description="Mean error over `true_ttft_ms`")
    send_ms: float = Field(description="Part of the mean error before the request was at the socket: the client's own")
    transit_ms: float = Field(description="Part of it from there until the server had read the request: the server's, where it is late itself")
    read_ms: float = Field(description="Part of it after the server had written the first chunk: the client's own")
    tpot_error_share: float | None = Field(description="Median tpot of the client over that of the server, minus 1")
    chunk_gap_p99_error_share: float | None = Field(description="The same for the p99 of the gaps between chunks")
    server_late_ms: Spread = Field(description="Emission - due, of all chunks: the reference server's own lateness, in none of the errors")
    cpu_share: float
    cpu_us_per_token: float | None
    loop_lag_ms_p99: float | None
    valid: bool = Field(description="The verdict the run gave on itself")
    invalid_reasons: tuple[str, ...]
    reference_late: bool = Field(description="The reference server could not keep to its own times: the point says nothing of the client")
    faults: tuple[str, ...] = Field(description="What keeps the load from being resolved; empty when it is")


class Verdict(Frozen):
    """The highest loads up to which every point is resolved; null where not even the lowest is, or none was tried."""

    streams: float | None
    requests_per_s: float | None
    silent: tuple[str, ...] = Field(description="Points that passed as valid and were not resolved, though the reference server was in time")
    words: str


class Calibration(Frozen):
    """What this load generator resolves on this host; stands in `calibration.json`."""

    schema_version: str = SCHEMA
    state: Literal["complete", "interrupted"]
    created_at: datetime
    tool: Tool
    host: Host
    workers: int = Field(description="Processes that made the load")
    workload: Workload | None = Field(description="The planned load; null for the ready curves")
    ttft_ms: float = Field(description="Time to first token that the reference server was set to")
    token_interval_ms: float
    duration_s: float = Field(description="Length of each measured phase")
    points: tuple[CalibrationPoint, ...]
    verdict: Verdict

    @property
    def resolved(self) -> bool:
        """Nothing wrong passed as valid, and the planned load (without one, the lowest of each kind) and all below it are resolved."""
        if self.verdict.silent or not self.points:
            return False
        if self.workload is None:
            return all(not min((point for point in self.points if point.loop == loop), key=lambda point: point.load).faults for loop in self._loops())
        return not any(point.faults for point in self.points if point.share is not None and point.share <= 1)

    def _loops(self) -> set[Loop]:
        return {point.loop for point in self.points}


class CalibrationNote(Frozen):
    """A calibration as a run carries it."""

    calibration: Calibration
    same_host: bool = Field(description="Made on the machine that made the run")
    point: CalibrationPoint | None = Field(description="The lowest calibrated load that is at least the planned one; null when none is")
    words: str
