"""A share of good cases against the least it may be (pure functions)."""

from bench.audits.models import Number, Verdict
from bench.statistics.proportion import wilson_interval


def judge_share(good: int, count: int, *, least: float, what: str) -> tuple[Verdict, str]:
    """By Wilson's 95 % interval: wholly below `least` fails, wholly above passes."""
    interval = wilson_interval(good, count)
    if interval is None:
        return "cannot tell", f"no {what}: nothing could be compared"
    low, high = interval
    verdict: Verdict = "fail" if high < least else "pass" if low >= least else "cannot tell"
    return verdict, f"{good} of {count} {what} (95 %: {low:.1%} to {high:.1%}, at least {least:.0%})"


def share_figures(name: str, good: int, count: int) -> dict[str, Number]:
    """The share and its interval; null of nothing."""
    low, high = wilson_interval(good, count) or (None, None)
    return {name: good / count if count else None, f"{name}.low_95": low, f"{name}.high_95": high}
