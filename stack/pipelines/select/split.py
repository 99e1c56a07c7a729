"""Parts for training and evaluation, such that nothing of one part leaks into another."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from stack.pipelines.base import Batch, DatasetStage, Decision, Name, Work
from stack.pipelines.dedup.clusters import UnionFind, join_near
from stack.pipelines.dedup.columns import byte_matrix, byte_rows, strings, text_column
from stack.pipelines.dedup.exact import first_of_digest, text_digests
from stack.pipelines.dedup.near import MinHash
from stack.pipelines.select.chance import draw


class Split(DatasetStage):
    """Adds the column `split`. Records with the same text, near-duplicates, and those with the same value of `group` stay together.

    None and "" are no group. Of pairs at the threshold of near-duplicates about 1 in 100 is not found, of much closer ones next to none.

    Each whole group goes, in an order drawn from the seed and one stratum after the other, to the part that lacks most: so each part
    has its share of every stratum to within a group or so. A group's stratum is that of its record with the smallest record_id.
    """

    kind: Literal["split"] = "split"
    shares: dict[Name, Annotated[float, Field(gt=0, le=1)]] = Field(default={"train": 0.8, "validation": 0.1, "test": 0.1})
    group: str | None = Field(default=None, description="Column whose values stay in one part")
    near_duplicates: MinHash | None = Field(default=MinHash(), description="How near-duplicates are found; null keeps only equal texts together")
    stratify: str | None = Field(default=None, description="Column whose values each part has in proportion, such as label")
    seed: int = 0

    @model_validator(mode="after")
    def _shares_make_one(self) -> Self:
        if abs(sum(self.shares.values()) - 1) > 1e-6:
            raise ValueError(f"shares must add up to 1, got {sum(self.shares.values()):g}")
        return self

    def in_words(self) -> str:
        parts = ", ".join(f"{name} {share:g}" for name, share in self.shares.items())
        whole = [f"each {self.group}"] * bool(self.group) + ["near-duplicates" if self.near_duplicates else "equal texts"]
        return f"split: {parts}; together: {', '.join(whole)}" + (f"; by {self.stratify}" if self.stratify else "")

    def needs(self) -> tuple[str, ...]:
        return ("package rensa",) if self.near_duplicates and self.near_duplicates.engine == "rensa" else ()

    def sketch(self, batch: Batch, work: Work) -> pa.Table:  # noqa: ARG002 -- the contract of stages
        columns = {"record_id": pa.array(batch.columns["record_id"], pa.string()), "digest": text_digests(batch.texts)}
        if self.group:  # as digests: a group may be a person
            values = text_column(batch, self.group, "group")
            columns["group"] = text_digests(values)
            columns["grouped"] = pa.array([bool(value) for value in values], pa.bool_())
        if self.stratify:
            columns["stratify"] = pa.array(text_column(batch, self.stratify, "stratify"), pa.string())
        if self.near_duplicates:
            columns["signature"] = byte_rows(self.near_duplicates.signatures(batch.texts))
        return pa.table(columns)

    def decide(self, sketches: Sequence[pa.Table], work: Work) -> Iterator[Decision]:  # noqa: ARG002
        ids = strings(sketches, "record_id").to_pylist()
        roots = self._groups(sketches, len(ids))
        strata = strings(sketches, "stratify").to_pylist() if self.stratify else None
        sizes: dict[int, int] = {}
        least: dict[int, int] = {}
        for row, root in enumerate(roots.tolist()):
            sizes[root] = sizes.get(root, 0) + 1
            least[root] = min(least.get(root, row), row, key=ids.__getitem__)
        order = sorted(sizes, key=lambda root: (strata[least[root]] if strata else "", draw(self.seed, ids[least[root]]), ids[least[root]]))
        part_of = dict(zip(order, deal([sizes[root] for root in order], self.shares), strict=True))
        start = 0
        for table in sketches:
            yield Decision(columns={"split": [part_of[root] for root in roots[start : start + table.num_rows].tolist()]})
            start += table.num_rows

    def _groups(self, sketches: Sequence[pa.Table], count: int) -> NDArray[np.int64]:
        """The first position of each record's group."""
        sets = UnionFind(count)
        join_equal(sets, first_of_digest(sketches, "digest"), np.ones(count, bool))
        if self.near_duplicates:
            join_near(sets, byte_matrix(sketches, "signature", self.near_duplicates.permutations), self.near_duplicates.threshold)
        if self.group:
            grouped = np.concatenate([np.zeros(0, bool), *(table.column("grouped").to_numpy() for table in sketches)])
            join_equal(sets, first_of_digest(sketches, "group"), grouped)
        return sets.roots()


def join_equal(sets: UnionFind, first: NDArray[np.int64], which: NDArray[np.bool_]) -> None:
    """Join each marked record with the first one that is equal."""
    for row in np.flatnonzero(which & (first != np.arange(len(first)))).tolist():
        sets.join(int(first[row]), row)


def deal(sizes: Sequence[int], shares: Mapping[str, float]) -> Iterator[str]:
    """For groups in order: the part that lacks most records of what its share of all so far, this group included, would be.

    On a tie the first by name, since the order of `shares` in the file is not part of a stage's digest.
    """
    given = dict.fromkeys(shares, 0)
    total = 0
    for size in sizes:
        total += size
        part = max(sorted(shares), key=lambda name: shares[name] * total - given[name])
        given[part] += size
        yield part
