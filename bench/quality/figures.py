"""The figures of a `QualityView` that may be quoted (logic)."""

from collections.abc import Iterator

from bench.quality.models import Interval, QualityView

Quoted = tuple[str, float | int | bool | None, str]
"""Name, value, and why it is unknown."""


def quality_figures(view: QualityView) -> Iterator[Quoted]:
    """Named `quality.<field>`, for what the workload asks for."""
    if (accuracy := view.accuracy) is not None:
        why = "" if accuracy.asked else "the task was not asked"
        yield "quality.accuracy", accuracy.accuracy, why
        yield from _bounds("quality.accuracy", accuracy.interval_95, why)
        yield "quality.accuracy.asked", accuracy.asked, ""
        yield "quality.accuracy.failed", accuracy.failed, ""
        yield "quality.accuracy.holds", accuracy.holds, "cannot be told" if accuracy.holds is None else ""
    if (lengths := view.lengths) is not None:
        why = "" if lengths.requests else "no answer came with a usage block"
        yield "quality.output_tokens.mean", lengths.output_tokens_mean, why
        yield from _bounds("quality.output_tokens.mean", lengths.interval_95, why or "one answer alone")
        yield "quality.output_tokens.ratio", lengths.ratio, why
        yield "quality.output_tokens.holds", lengths.holds, why


def _bounds(name: str, interval: Interval | None, why: str) -> Iterator[Quoted]:
    low, high = interval or (None, None)
    yield f"{name}.low_95", low, "" if interval else why
    yield f"{name}.high_95", high, "" if interval else why
