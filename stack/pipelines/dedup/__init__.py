"""Deduplication: exact, near (MinHash-LSH) and semantic (embeddings); each a stage over all records.

In: sketches of shards (digests, signatures, vectors). Out: which records to drop, and which record was kept instead. The first record
in order is kept. Nothing here may depend on how records were cut into shards, and no sketch may hold a text.
"""

from stack.pipelines.dedup.exact import ExactDedup
from stack.pipelines.dedup.near import NearDedup
from stack.pipelines.dedup.semantic import SemanticDedup

__all__ = ["ExactDedup", "NearDedup", "SemanticDedup"]
