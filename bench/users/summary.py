"""What a run of users is and what it gave: the description kept with the rows, and the published summary (models; no I/O)."""

from datetime import datetime

from pydantic import Field

from bench.frozen import Frozen
from bench.results.summary import Metric, State, ToolInfo
from bench.statistics.percentiles import Interval
from bench.users.scenario import Scenario
from bench.workload.slo import Slo

SCHEMA = "stackproof.users/v1"


class WorkerHealth(Frozen):
    """What one Locust worker used and suffered, from the start of the test to its last report."""

    worker: str
    cpu_s: float = Field(description="User and system CPU seconds of the process")
    cpu_share: float = Field(description="`cpu_s` over the wall time: 1 is one core all the time")
    loop_lag_ms_mean: float | None = Field(description="How late a call asked of gevent's loop every 10 ms came, on average")
    loop_lag_ms_p99: float | None
    peak_rss_mb: float = Field(description="Largest resident memory of the process, MiB")


class UsersRun(Frozen):
    """Everything about a run that its rows do not say; stands in the metadata of users.parquet."""

    schema_version: str = SCHEMA
    scenario: Scenario
    seed: int
    run: str = Field(description="How the X-Request-Id of each request begins")
    url: str
    tool: ToolInfo
    started_at: datetime = Field(description="Wall time in UTC, for people")
    started_ns: int = Field(description="The master's monotonic clock at the start: what all stamps are relative to")
    ended_ns: int = Field(description="From the start to the moment after which no user began a request")
    state: State
    workers: tuple[WorkerHealth, ...]
    lost: tuple[str, ...] = Field(description="Workers that were gone before the end")
    tests: int = Field(description="Tests started on Locust's page; the summary is that of the last one")


class Counts(Frozen):
    """Requests; `sent` = `ok` + `failed` + `cancelled`."""

    sent: int
    ok: int
    failed: int
    cancelled: int
    by_class: dict[str, int] = Field(description="Failed requests by class: refused, timeout, truncated, malformed, http_<status>")


class Journeys(Frozen):
    """Conversations from the first step to the last; one that was begun and not finished failed, or the run ended."""

    begun: int
    finished: int


class Attainment(Frozen):
    """Requests that met every limit of the service level, of those that were not cancelled; a failed one did not."""

    slo: Slo
    good: int
    judged: int
    share: float | None
    interval_95: Interval | None = Field(description="Of `share`: Wilson's score interval")


class Latencies(Frozen):
    """As defined in docs/metrics.md, closed loop: from `sent`."""

    ttft_ms: Metric
    tpot_ms: Metric
    e2e_ms: Metric


class StepFigures(Frozen):
    """One step of the journey of one class."""

    user_class: str
    step: str
    requests: Counts
    metrics: Latencies
    goodput: Attainment | None


class UserRates(Frozen):
    """Per second from the start to `ended_ns`, ramps included: answers that were over by then, and their tokens."""

    requests_per_s: float | None
    output_tokens_per_s: float | None


class UsersSummary(Frozen):
    """The published result of one run. Nothing in it is taken from anywhere but the rows."""

    schema_version: str = SCHEMA
    state: State
    valid: bool = Field(description="Whether the figures speak of the server and not of the users' machine")
    invalid_reasons: tuple[str, ...]
    notes: tuple[str, ...] = Field(description="What a reader must know beside the figures")
    requests: Counts
    journeys: Journeys
    users: int = Field(description="Different users that sent a request")
    rates: UserRates
    metrics: Latencies
    steps: tuple[StepFigures, ...]
    goodput: Attainment | None
    workers: tuple[WorkerHealth, ...]
    lost_workers: tuple[str, ...]
    scenario: Scenario
    seed: int
    url: str
    started_at: datetime
    tool: ToolInfo
