"""Records that say the same in other words, by cosine of embeddings, compared block by block."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from stack.pipelines.base import Batch, DatasetStage, Decision, Work
from stack.pipelines.dedup.columns import by_shard, byte_matrix, byte_rows, strings
from stack.pipelines.dedup.embedders import Embedder, hashed_counts, tf_idf
from stack.pipelines.errors import PipelineError

BLOCK = 512


class SemanticDedup(Embedder, DatasetStage):
    """Drops a record whose cosine with an earlier kept one reaches the threshold; the detail is the first such record's id.

    Every record is compared with every kept one: time grows with the square of the records (a filter for tens of thousands, not
    millions). `hashing` is TF-IDF of 4-character grams in 1,024 buckets: it knows spelling, not meaning; an endpoint's model may know both.
    """

    UNDECISIVE: ClassVar[tuple[str, ...]] = ("ca_file",)

    kind: Literal["semantic_dedup"] = "semantic_dedup"
    threshold: float = Field(default=0.9, gt=0, le=1, description="Cosine similarity")

    def in_words(self) -> str:
        by = f"embeddings of {self.model}" if self.embedder == "endpoint" else "hashed TF-IDF of 4-character grams"
        return f"drop records with cosine {self.threshold:g} or more to an earlier one ({by})"

    def needs(self) -> tuple[str, ...]:
        return (f"endpoint {self.url}",) if self.embedder == "endpoint" else ()

    def sketch(self, batch: Batch, work: Work) -> pa.Table:
        vectors = hashed_counts(batch.texts) if self.embedder == "hashing" else self.ask_endpoint(batch.texts, work.folder).view(np.uint8)
        return pa.table({"record_id": pa.array(batch.columns["record_id"], pa.string()), "vector": byte_rows(vectors)})

    def decide(self, sketches: Sequence[pa.Table], work: Work) -> Iterator[Decision]:  # noqa: ARG002 -- the contract of stages
        filled = [table for table in sketches if table.num_rows]
        widths = {table.schema.field("vector").type.byte_width for table in filled} or {1}
        if len(widths) > 1:
            raise PipelineError(f"field `model`: {self.model} gave embeddings of lengths {sorted(widths)}; use one model for the whole run")
        raw = byte_matrix(filled, "vector", widths.pop())
        kept_instead = first_alike(tf_idf(raw) if self.embedder == "hashing" else raw.view(np.int8), self.threshold)
        ids = strings(sketches, "record_id")
        return by_shard(sketches, {row: ("semantic_duplicate", ids[kept].as_py()) for row, kept in kept_instead.items()})


def first_alike(vectors: NDArray[np.int8], threshold: float) -> dict[int, int]:
    """Position of each dropped row to that of the first kept row it is like. Whole numbers in float64: sums are exact, in any order."""
    found: dict[int, int] = {}
    norms = _norms(vectors)
    kept = np.zeros(len(vectors), bool)
    for start in range(0, len(vectors), BLOCK):
        part = slice(start, min(start + BLOCK, len(vectors)))
        mine = vectors[part].astype(np.float64)
        for before in range(0, part.stop, BLOCK):
            other = slice(before, min(before + BLOCK, len(vectors)))
            bar = threshold * np.outer(norms[part], norms[other])
            alike = (mine @ vectors[other].astype(np.float64).T >= bar) & (bar > 0)
            for row in np.flatnonzero(alike.any(axis=1)).tolist() if before < start else range(len(mine)):
                if start + row in found:
                    continue
                hits = np.flatnonzero(alike[row] & kept[other])
                if len(hits):
                    found[start + row] = before + int(hits[0])
                elif before == start:
                    kept[start + row] = True
    return found


def _norms(vectors: NDArray[np.int8]) -> NDArray[np.float64]:
    return np.concatenate([np.zeros(0), *(np.linalg.norm(vectors[at : at + BLOCK].astype(np.float64), axis=1) for at in range(0, len(vectors), BLOCK))])
