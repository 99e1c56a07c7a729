"""The same workload several times over, so that what differs from run to run shows (edge)."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import Field

from bench.errors import BenchError
from bench.frozen import Frozen
from bench.results.files import REQUESTS
from bench.results.headline import HEADLINES
from bench.results.summary import METRICS_VERSION, SCHEMA, Interval, Summary
from bench.seeds import derive
from bench.statistics.means import mean_interval
from bench.statistics.percentiles import mean
from stack.runtime.files import write_atomic

REPEATS = "repeats.json"


class RepeatedFigure(Frozen):
    """One figure over all runs."""

    values: tuple[float | None, ...] = Field(description="In the order of the runs; null where a run has none")
    mean: float | None
    interval_95: Interval | None = Field(description="Student's t interval of the mean over the runs; null for fewer than two values")


class Repeats(Frozen):
    """Several runs of one workload, each with a seed of its own."""

    schema_version: str = SCHEMA
    metrics_version: int = METRICS_VERSION
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    valid: bool = Field(description="Whether all runs were")
    invalid_reasons: tuple[str, ...]
    figures: dict[str, RepeatedFigure]


def run_repeats(count: int, *, out: Path, seed: int, run: Callable[[Path, int], Summary]) -> tuple[Repeats, list[Summary]]:
    """Call `run` with the folders `out`/run-1 and so on, and a seed derived from `seed` for each; write repeats.json.

    A run that was cut short is the last. BenchError when `out` holds runs of an earlier measurement that this one would not replace.
    """
    stale = [folder.name for folder in repeat_folders(out) if int(folder.name.removeprefix("run-")) > count]
    if stale:
        raise BenchError(f"--out {out}: holds {', '.join(stale)} of an earlier measurement: give another folder")
    (out / REPEATS).unlink(missing_ok=True)
    summaries: list[Summary] = []
    for number in range(1, count + 1):
        summaries.append(run(out / f"run-{number}", repeat_seed(seed, number)))
        if summaries[-1].state != "complete":
            break
    repeats = over_repeats(summaries)
    write_atomic(out / REPEATS, repeats.model_dump_json(indent=2) + "\n")
    return repeats, summaries


def repeat_seed(seed: int, number: int) -> int:
    """32 bits for run `number`: the runs share no prompt, and the first seed gives all of them."""
    return derive(seed, "repeat", number) >> 32


def repeat_folders(out: Path) -> list[Path]:
    """The folders run-1, run-2, ... that hold samples, in order."""
    found = [path for path in out.glob("run-*") if re.fullmatch(r"run-[1-9]\d*", path.name) and (path / REQUESTS).is_file()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("run-")))


def over_repeats(summaries: Sequence[Summary]) -> Repeats:
    """What the runs say together; never wider than they are: an invalid one makes all invalid."""
    figures = {}
    for headline in HEADLINES:
        values = tuple(headline.read(summary) for summary in summaries)
        given = [value for value in values if value is not None]
        figures[headline.name] = RepeatedFigure(values=values, mean=mean(given) if given else None, interval_95=mean_interval(given))
    return Repeats(
        runs=tuple(f"run-{number}" for number in range(1, len(summaries) + 1)),
        seeds=tuple(summary.seed for summary in summaries),
        valid=all(summary.valid for summary in summaries),
        invalid_reasons=tuple(f"run-{number}: {reason}" for number, summary in enumerate(summaries, 1) for reason in summary.invalid_reasons),
        figures=figures,
    )
