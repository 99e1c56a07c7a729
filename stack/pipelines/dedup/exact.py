"""Exact duplicates of the text as earlier stages left it."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

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
        digests = b"".join(hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:DIGEST_BYTES] for text in batch.texts)
        rows = np.frombuffer(digests, np.uint8).reshape(-1, DIGEST_BYTES)
        return pa.table({"record_id": pa.array(batch.columns["record_id"], pa.string()), "digest": byte_rows(rows)})

    def decide(self, sketches: Sequence[pa.Table], work: Work) -> Iterator[Decision]:  # noqa: ARG002
        keys = byte_matrix(sketches, "digest", DIGEST_BYTES).view(np.uint64).T
        first = first_of_equal(keys)
        ids = strings(sketches, "record_id")
        later = np.flatnonzero(first != np.arange(len(first)))
        return by_shard(sketches, {int(row): ("duplicate", ids[int(first[row])].as_py()) for row in later})
