"""A sample of the records, by strata where asked."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from stack.evidence import canonical_json
from stack.pipelines.base import Batch, DatasetStage, Decision, Work
from stack.pipelines.dedup.columns import by_shard, strings, text_column
from stack.pipelines.select.chance import draw


class Sample(DatasetStage):
    """Keeps `records` records, or `share` of them; the others are dropped as `not_sampled`.

    With `by`, each combination of those columns' values is a stratum: `proportional` gives each its share (largest remainders),
    `equal` the same number to each, and what a small stratum cannot fill to the others.
    """

    kind: Literal["sample"] = "sample"
    records: int | None = Field(default=None, ge=1)
    share: float | None = Field(default=None, gt=0, le=1)
    by: tuple[str, ...] = ()
    allocation: Literal["proportional", "equal"] = "proportional"
    seed: int = 0

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.records is None) == (self.share is None):
            raise ValueError("give either `records` or `share`")
        return self

    def in_words(self) -> str:
        size = f"{self.records} records" if self.records is not None else f"{self.share:.3g} of the records"
        return f"keep a sample of {size}" + (f", {self.allocation} by {', '.join(self.by)}" if self.by else "")

    def sketch(self, batch: Batch, work: Work) -> pa.Table:  # noqa: ARG002 -- the contract of stages
        columns = [text_column(batch, name, "by") for name in self.by]
        strata = [canonical_json(list(values)).decode() for values in zip(*columns, strict=True)] if columns else [""] * len(batch)
        draws = [draw(self.seed, record_id) for record_id in batch.columns["record_id"]]
        return pa.table({"stratum": pa.array(strata, pa.string()), "draw": pa.array(draws, pa.int64())})

    def decide(self, sketches: Sequence[pa.Table], work: Work) -> Iterator[Decision]:  # noqa: ARG002
        names, codes = np.unique(np.array(strings(sketches, "stratum").to_pylist(), object), return_inverse=True)
        draws = np.concatenate([np.zeros(0, np.int64), *(table.column("draw").to_numpy() for table in sketches)])
        sizes = np.bincount(codes, minlength=len(names))
        wanted = allocate(dict(zip(names.tolist(), sizes.tolist(), strict=True)), self._total(len(draws)), self.allocation)
        order = np.lexsort((draws, codes))
        rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        left_out = order[rank >= np.repeat(np.array([wanted[name] for name in names], np.int64), sizes)]
        return by_shard(sketches, {int(row): ("not_sampled", names[codes[row]]) for row in left_out})

    def _total(self, count: int) -> int:
        return min(count, self.records if self.records is not None else round(count * (self.share or 0)))


def allocate(sizes: Mapping[str, int], total: int, allocation: str) -> dict[str, int]:
    """How many of `total` each stratum gives, never more than it has."""
    if allocation == "equal":
        return _equal(sizes, total)
    everything = sum(sizes.values())
    exact = {name: total * size / everything for name, size in sizes.items()}
    found = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(sizes, key=lambda name: (found[name] - exact[name], name))
    for name in by_remainder[: total - sum(found.values())]:
        found[name] += 1
    return found


def _equal(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Small strata first: each gets an equal part of what is left."""
    found: dict[str, int] = {}
    for done, name in enumerate(sorted(sizes, key=lambda name: (sizes[name], name))):
        found[name] = min(sizes[name], (total - sum(found.values())) // (len(sizes) - done))
    return found
