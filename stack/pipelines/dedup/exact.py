"""Exact duplicates of the text as earlier stages left it."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stack.pipelines.base import Batch, DatasetStage, Decision, Work
from stack.pipelines.dedup.columns import by_shard, byte_matrix, byte_rows, first_of_equal, strings

DIGEST_BYTES = 16


class ExactDedup(DatasetStage):
    """Drops every record whose text an earlier record has; the detail is that record's id.

    A sketch has 16 bytes of the text's SHA-256: among a thousand million texts two different ones share them with a chance of 1e-21.
    """

    kind: Literal["dedup"] = "dedup"

    def in_words(self) -> str:
        return "drop exact duplicates of the text, over all sources"

    def sketch(self, batch: Batch, work: Work) -> pa.Table:  # noqa: ARG002 -- the contract of stages
        return pa.table({"record_id": pa.array(batch.columns["record_id"], pa.string()), "digest": text_digests(batch.texts)})

    def decide(self, sketches: Sequence[pa.Table], work: Work) -> Iterator[Decision]:  # noqa: ARG002
        first = first_of_digest(sketches, "digest")
        ids = strings(sketches, "record_id")
        later = np.flatnonzero(first != np.arange(len(first)))
        return by_shard(sketches, {int(row): ("duplicate", ids[int(first[row])].as_py()) for row in later})


def text_digests(texts: Sequence[str]) -> pa.Array:
    """The first 16 bytes of each text's SHA-256."""
    digests = b"".join(hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:DIGEST_BYTES] for text in texts)
    return byte_rows(np.frombuffer(digests, np.uint8).reshape(-1, DIGEST_BYTES))


def first_of_digest(sketches: Sequence[pa.Table], name: str) -> NDArray[np.int64]:
    """For each record the position of the first one with the same digest in the column."""
    return first_of_equal(byte_matrix(sketches, name, DIGEST_BYTES).view(np.uint64).T)
