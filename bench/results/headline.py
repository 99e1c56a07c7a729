"""The few figures two runs are compared by, and repeats are averaged over (logic)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bench.results.summary import Summary


@dataclass(frozen=True)
class Headline:
    """A figure of a summary: its unit, which way is better, and, for a percentile of a metric, of which."""

    name: str
    unit: str
    better: Literal["lower", "higher"]
    read: Callable[[Summary], float | None]
    metric: str = ""
    share: float = 0.0


def _percentile(metric: str, statistic: str, share: float) -> Headline:
    def read(summary: Summary) -> float | None:
        value: float | None = getattr(getattr(summary.metrics, metric), statistic)
        return value

    return Headline(name=f"{metric}.{statistic}", unit="ms", better="lower", read=read, metric=metric, share=share)


OUTPUT = Headline(name="output_tokens_per_s", unit="/s", better="higher", read=lambda summary: summary.rates.output_tokens_per_s)
GOODPUT = Headline(name="goodput.share", unit="", better="higher", read=lambda summary: summary.goodput.share if summary.goodput else None)

HEADLINES = (
    *(_percentile(metric, name, share) for metric in ("ttft_ms", "tpot_ms", "e2e_ms") for name, share in (("p50", 0.50), ("p99", 0.99))),
    OUTPUT,
    GOODPUT,
)
