"""Near-duplicates by MinHash-LSH, within a run and across runs."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from stack.pipelines.base import Batch, DatasetStage, Decision, Frozen, Work
from stack.pipelines.dedup.clusters import UnionFind, join_near
from stack.pipelines.dedup.columns import by_shard, byte_matrix, byte_rows, strings
from stack.pipelines.dedup.index import NearIndex, first_marked, holds, near_entries
from stack.pipelines.dedup.minhash import Signatures, signatures
from stack.pipelines.dedup.shingles import shingle_hashes


class MinHash(Frozen):
    """How a text becomes a signature of one byte per permutation, and from which similarity on two texts are near-duplicates."""

    threshold: float = Field(default=0.6, gt=0, le=1, description="Estimated Jaccard similarity of the shingle sets")
    shingle: Literal["words", "characters"] = Field(default="characters", description="Characters suit scripts without spaces too")
    size: int = Field(default=5, ge=1, le=32, description="Words or characters per shingle")
    permutations: int = Field(default=128, ge=16, le=1024)
    seed: int = Field(default=7, ge=0, lt=1 << 32)
    engine: Literal["rensa", "numpy"] = Field(default="rensa", description="Each gives its own results; numpy needs no further package")

    def signatures(self, texts: Sequence[str]) -> Signatures:
        """[texts, permutations]."""
        hashes, offsets = shingle_hashes(texts, self.shingle, self.size)
        return signatures(hashes, offsets, self.permutations, engine=self.engine, seed=self.seed)

    @property
    def settings(self) -> str:
        """What two signatures must share to be compared."""
        return f"{self.engine} {self.shingle} {self.size} {self.permutations} {self.seed}"


class NearDedup(MinHash, DatasetStage):
    """Keeps the first record of each cluster of near-duplicates; the detail is the kept record's id.

    With `index`, a file beside the pipeline, a record near one that an earlier run kept is dropped too. Records that the index holds
    themselves come first in their clusters, so the same run again, or one with more records, keeps what was kept. What the index holds
    is not in the digest: a finished run stays finished when the index grows. A run adds what it kept once its decisions are committed.
    """

    kind: Literal["near_dedup"] = "near_dedup"
    index: str | None = Field(default=None, description="File of what earlier runs kept; made when missing")

    def in_words(self) -> str:
        across = f", and those near what {self.index} holds" if self.index else ""
        return f"drop near-duplicates: {self.size}-{self.shingle[:-1]} shingles, similarity {self.threshold:g} or more{across}"

    def needs(self) -> tuple[str, ...]:
        return ("package rensa",) if self.engine == "rensa" else ()

    def sketch(self, batch: Batch, work: Work) -> pa.Table:  # noqa: ARG002 -- the contract of stages
        ids = pa.array(batch.columns["record_id"], pa.string())
        return pa.table({"record_id": ids, "signature": byte_rows(self.signatures(batch.texts))})

    def decide(self, sketches: Sequence[pa.Table], work: Work) -> Iterator[Decision]:
        matrix = byte_matrix(sketches, "signature", self.permutations)
        ids = strings(sketches, "record_id")
        sets = UnionFind(len(matrix))
        join_near(sets, matrix, self.threshold)
        roots = sets.roots()
        keeper = roots
        known: dict[int, str] = {}
        if self.index:
            entries = self._index(work).read()
            keeper = first_marked(roots, holds(entries, ids))
            known = near_entries(entries, matrix, np.flatnonzero(keeper == np.arange(len(keeper))), ids, self.threshold)
        drops = {row: ("near_duplicate", kept) for row, kept in known.items()}
        for row in np.flatnonzero(keeper != np.arange(len(keeper))).tolist():
            first = int(keeper[row])
            drops[row] = ("near_duplicate", known.get(first) or ids[first].as_py())
        return by_shard(sketches, drops)

    def committed(self, sketches: Sequence[pa.Table], decisions: Sequence[Decision], work: Work) -> None:
        """Add what was kept to the index, in one atomic write. Again with the same: changes nothing."""
        if self.index:
            self._index(work).add([kept_rows(table, said) for table, said in zip(sketches, decisions, strict=True)])

    def _index(self, work: Work) -> NearIndex:
        return NearIndex(work.folder / str(self.index), self.settings, self.permutations)


def kept_rows(table: pa.Table, decision: Decision) -> pa.Table:
    return table.filter(pa.array([row not in decision.drop for row in range(table.num_rows)], pa.bool_()))
