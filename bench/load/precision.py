"""Stopping when a mean is known well enough (pure)."""

from bench.load.progress import Progress
from bench.statistics.batches import batch_mean_interval
from bench.statistics.percentiles import mean
from bench.workload.models import Precision

PLACES = {"ttft_ms": 0, "tpot_ms": 1, "e2e_ms": 2}


class PrecisionRule:
    """Collects the measured latencies as they come in and says when the interval of their mean is narrow enough.

    The interval is that of batch means (bench.statistics.batches): successive latencies depend on one another.
    """

    def __init__(self, precision: Precision) -> None:
        self._precision = precision
        self._values: list[float] = []

    def narrow_enough(self, progress: Progress) -> bool:
        """Takes the news in `progress` along; asked again only after news."""
        if not progress.latencies:
            return False
        place = PLACES[self._precision.metric]
        self._values += [value for latencies in progress.latencies if (value := latencies[place]) is not None]
        if len(self._values) < self._precision.min_requests:
            return False
        interval = batch_mean_interval(self._values)
        return interval is not None and (interval[1] - interval[0]) / 2 <= self._precision.relative_half_width * mean(self._values)
