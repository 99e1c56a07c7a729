"""Sketch columns as arrays: rows of bytes of one width, without a Python object per row."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stack.pipelines.base import Batch, Decision
from stack.pipelines.errors import PipelineError


def byte_rows(matrix: NDArray[np.uint8]) -> pa.Array:
    """A [records, width] matrix as fixed-size binary."""
    rows, width = matrix.shape
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), rows, [None, pa.py_buffer(np.ascontiguousarray(matrix))])


def byte_matrix(tables: Sequence[pa.Table], name: str, width: int) -> NDArray[np.uint8]:
    """The column of all tables below one another: [records, width]."""
    parts = [np.zeros((0, width), np.uint8)]
    for table in tables:
        for chunk in table.column(name).chunks:
            flat = np.frombuffer(chunk.buffers()[1], np.uint8) if len(chunk) else np.zeros(0, np.uint8)
            parts.append(flat[chunk.offset * width : (chunk.offset + len(chunk)) * width].reshape(-1, width))
    return np.concatenate(parts)


def strings(tables: Sequence[pa.Table], name: str) -> pa.ChunkedArray:
    """A text column of all tables; read an element with `[position].as_py()`."""
    return pa.chunked_array([chunk for table in tables for chunk in table.column(name).chunks], type=pa.string())


def text_column(batch: Batch, name: str, field: str) -> list[str]:
    """A batch's column as text; None becomes an empty text."""
    if name not in batch.columns:
        raise PipelineError(f"field `{field}`: there is no column {name}; columns at this stage: {', '.join(sorted(batch.columns))}")
    return ["" if value is None else str(value) for value in batch.columns[name]]


def first_of_equal(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """For each row the position of the first row with the same key(s); `keys` is [rows] or [parts, rows]."""
    parts = np.atleast_2d(keys)
    order: NDArray[np.int64] = np.lexsort(parts)
    if not len(order):
        return order
    changes = np.any(parts[:, order[1:]] != parts[:, order[:-1]], axis=0)
    starts = np.concatenate(([0], np.flatnonzero(changes) + 1))
    first = np.empty(len(order), np.int64)
    first[order] = np.repeat(order[starts], np.diff(np.append(starts, len(order))))
    return first


def by_shard(tables: Sequence[pa.Table], drops: Mapping[int, tuple[str, str]]) -> Iterator[Decision]:
    """Drops by position in the whole dataset, as one decision per shard."""
    start = 0
    positions = sorted(drops)
    at = 0
    for table in tables:
        end, mine = start + table.num_rows, {}
        while at < len(positions) and positions[at] < end:
            mine[positions[at] - start] = drops[positions[at]]
            at += 1
        yield Decision(mine)
        start = end
