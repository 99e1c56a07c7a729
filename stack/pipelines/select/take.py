"""The first records, evenly from the sources: what `--limit` does."""

from collections.abc import Iterator, Sequence
from typing import Literal

import pyarrow as pa
from pydantic import Field

from stack.pipelines.base import Batch, DatasetStage, Decision, Work
from stack.pipelines.dedup.columns import by_shard, strings, text_column


class Take(DatasetStage):
    """Keeps at most `records` records, in turn one from each source, in their old order; the others are dropped as `limit`."""

    kind: Literal["take"] = "take"
    records: int = Field(ge=1)

    def in_words(self) -> str:
        return f"keep the first {self.records} records, evenly from the sources"

    def sketch(self, batch: Batch, work: Work) -> pa.Table:  # noqa: ARG002 -- the contract of stages
        return pa.table({"source": pa.array(text_column(batch, "source", "records"), pa.string())})

    def decide(self, sketches: Sequence[pa.Table], work: Work) -> Iterator[Decision]:  # noqa: ARG002
        seen: dict[str, int] = {}
        turns: list[tuple[int, int]] = []
        for position, source in enumerate(strings(sketches, "source").to_pylist()):
            turns.append((seen.setdefault(source, 0), position))
            seen[source] += 1
        return by_shard(sketches, {position: ("limit", "") for _, position in sorted(turns)[self.records :]})
