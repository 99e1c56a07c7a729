"""The service level a rate must hold, and whether a run held it (models and pure functions)."""

import re
from typing import Literal

from pydantic import Field

from bench.errors import BenchError
from bench.frozen import Frozen
from bench.results.summary import Metric, Summary
from bench.statistics.early_stopping import certification_floor
from bench.workload.slo import PRESETS
from stack.runtime import durations
from stack.runtime.errors import StackproofError

SHARES = {"p90": 0.90, "p95": 0.95, "p99": 0.99}
OUT_OF_TIME = "the time budget is used up"
CLIENT_BOUND = "client-bound"

Outcome = Literal["meets", "misses", "invalid", "unfinished"]
"""The level held; it did not; the load generator could not keep up, so the run says nothing; the run was cut short and says nothing."""


class Limit(Frozen):
    """A percentile of one metric and the most it may be."""

    metric: Literal["ttft", "tpot", "e2e"]
    percentile: Literal["p90", "p95", "p99"]
    limit_ms: float = Field(gt=0, allow_inf_nan=False)

    def __str__(self) -> str:
        return f"{self.metric}_{self.percentile} <= {self.limit_ms:g} ms"


class ServiceLevel(Frozen):
    """What must hold at a rate for it to count."""

    limits: tuple[Limit, ...] = Field(min_length=1)
    error_rate: float = Field(default=0.0, ge=0, lt=1, description="Most failed requests as a share of all that were over; percentiles are of the others")
    preset: str = Field(default="", description="The published service level it came from")

    @property
    def floor(self) -> int:
        """Fewest samples that can certify every percentile in it."""
        return max(certification_floor(SHARES[limit.percentile]) for limit in self.limits)

    def __str__(self) -> str:
        return ", ".join([*map(str, self.limits), f"error_rate <= {self.error_rate:g}"])


class Judgement(Frozen):
    """What one run says about a service level."""

    outcome: Outcome
    certified: bool = Field(description="Every percentile had enough samples to be bounded with 99 % confidence; else it is the sample's own")
    reasons: tuple[str, ...] = Field(description="Each limit with what was found; or why the run says nothing")


def parse_duration_s(text: str, *, field: str) -> float:
    """Seconds from `500ms`, `2s`, `20m`; BenchError names `field`."""
    try:
        return durations.parse_duration_s(text, field=field)
    except StackproofError as error:
        raise BenchError(str(error)) from None


def parse_level(text: str) -> ServiceLevel:
    """From `ttft_p99=500ms,tpot_p99=50ms,error_rate=1%`, or one of MLPerf's pairs by name (each a p99). BenchError names the faulty part."""
    if text in PRESETS:
        slo = PRESETS[text]
        pairs: list[tuple[Literal["ttft", "tpot", "e2e"], float | None]] = [("ttft", slo.ttft_ms), ("tpot", slo.tpot_ms), ("e2e", slo.e2e_ms)]
        return ServiceLevel(limits=tuple(Limit(metric=metric, percentile="p99", limit_ms=limit) for metric, limit in pairs if limit is not None), preset=text)
    limits: dict[str, Limit] = {}
    error_rate = 0.0
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        metric, _, percentile = name.partition("_")
        if not equals or name in limits:
            raise BenchError(f"field `--slo`: give each limit once, as in ttft_p99=500ms, or one of {', '.join(PRESETS)}; got {part.strip()!r}")
        if name == "error_rate":
            error_rate = _share(value)
        elif metric in ("ttft", "tpot", "e2e") and percentile in SHARES:
            limit_ms = parse_duration_s(value, field=f"--slo {name}") * 1e3
            limits[name] = Limit.model_validate({"metric": metric, "percentile": percentile, "limit_ms": limit_ms})
        else:
            raise BenchError(f"field `--slo`: no limit {name!r}: give ttft, tpot or e2e with _p90, _p95 or _p99, or error_rate")
    if not limits:
        raise BenchError("field `--slo`: give at least one limit of a percentile, as in ttft_p99=500ms")
    return ServiceLevel(limits=tuple(limits.values()), error_rate=error_rate)


def judge(summary: Summary, level: ServiceLevel, *, certify: bool, reason: str = "", growing: bool = False) -> Judgement:
    """Whether a run held the level; `reason` is why the run was stopped, `growing` what `saturated` says of its course.

    With `certify` each percentile is the certified bound where there are enough samples, else the sample's own: near the least number of samples
    the bound is the largest of all, which would send the short runs of a search too low. Requests that were cancelled while they waited
    would have been the slowest: with any of them the level is missed. BenchError when the level cannot be told for such a workload.
    """
    requests = summary.requests
    bound = [each for each in summary.invalid_reasons if each.startswith(CLIENT_BOUND)]
    if summary.state not in ("complete", "stopped", "given_up") or reason == OUT_OF_TIME:
        return Judgement(outcome="unfinished", certified=False, reasons=(reason or f"the run was {summary.state.replace('_', ' ')}",))
    if bound or (summary.state == "complete" and not summary.valid and requests.ok):
        return Judgement(outcome="invalid", certified=False, reasons=tuple(bound) or summary.invalid_reasons)
    if summary.state != "complete" or not requests.ok:
        return Judgement(outcome="misses", certified=False, reasons=(reason,) if reason else summary.invalid_reasons)
    missed, reasons = False, []
    error_rate = requests.failed / (requests.ok + requests.failed)
    if error_rate > level.error_rate:
        missed = True
        reasons.append(f"{requests.failed} of {requests.ok + requests.failed} requests failed (allowed {level.error_rate:.3%})")
    if requests.cancelled:
        missed = True
        reasons.append(f"{requests.cancelled} requests were still waiting when the run ended")
    if growing:
        missed = True
        reasons.append("over-saturated: requests in flight and time to first token grew until the end")
    certified = True
    for limit in level.limits:
        value, is_bound = _reached(summary, limit, certify=certify)
        certified = certified and is_bound
        missed = missed or value > limit.limit_ms
        reasons.append(f"{limit}: {value:.4g} ms{'' if is_bound else ' (not certified)'}")
    return Judgement(outcome="misses" if missed else "meets", certified=certified, reasons=tuple(reasons))


def _reached(summary: Summary, limit: Limit, *, certify: bool) -> tuple[float, bool]:
    """The value held against the limit, in ms, and whether it is a certified bound."""
    metric: Metric = getattr(summary.metrics, f"{limit.metric}_ms")
    bound, value = getattr(metric.certified, limit.percentile), getattr(metric, limit.percentile)
    if value is None:
        raise BenchError(f"field `--slo`: {limit.metric} is unknown for this workload ({metric.note or 'each answer came in one chunk'}): leave it out")
    return (bound, True) if certify and bound is not None else (value, False)


def _share(text: str) -> float:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(%?)", text)
    share = float(found[1]) / (100 if found[2] else 1) if found else 1.0
    if share >= 1:
        raise BenchError(f"field `--slo error_rate`: give a share below 1, as in 1% or 0.01, got {text!r}")
    return share
