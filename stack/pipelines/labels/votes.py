"""Votes as integers: one row per record, one column per labeler (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stack.pipelines.errors import PipelineError

ABSTAINS = -1
"""The code of no vote, and of no label."""

MOST_LABELS = 32_767

SMALL = 4096
"""Keys below this, or below the number of rows, are grouped by counting."""

Codes = NDArray[np.int16]
Counts = NDArray[np.int64]
Indices = NDArray[np.intp]
Floats = NDArray[np.float64]
Column = Sequence[str | None]
"""Or an Arrow array of strings, which is not copied."""


@dataclass(frozen=True)
class Groups:
    """Equal rows of a matrix, ordered by their values and so independent of the order of the rows.

    `first` is a row of each group, `counts` how many rows it has, `of_row` the group of each row.
    """

    first: Indices
    counts: Counts
    of_row: Indices


def group_rows(values: NDArray[np.integer], base: int) -> Groups:
    """Groups equal rows of `values` (n x m, from 0 to base - 1) by one whole number per row: far quicker than sorting rows."""
    key = np.zeros(len(values), np.int64)
    size = 1
    for column in values.T:
        if size > 2**62 // base:
            seen, key = np.unique(key, return_inverse=True)
            size = len(seen)
        key = key * base + column
        size *= base
    if size <= max(SMALL, len(key)):
        return _by_counting(key, size)
    _, first, of_row, counts = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    return Groups(first, counts.astype(np.int64), of_row)


def _by_counting(key: Indices, size: int) -> Groups:
    """Groups of equal keys from 0 to size - 1: no sorting, so about ten times as quick when there are few different ones."""
    counts = np.bincount(key, minlength=size)
    seen = np.flatnonzero(counts)
    group = np.empty(size, np.intp)
    group[seen] = np.arange(len(seen))
    first = np.empty(size, np.intp)
    # Of several values for one place the last stays: from the end, that is the first row.
    first[key[::-1]] = np.arange(len(key))[::-1]
    return Groups(first[seen], counts[seen].astype(np.int64), group[key])


@dataclass(frozen=True)
class Votes:
    """`codes` (n records x m labelers) are positions in `labels`, ABSTAINS where a labeler said nothing."""

    codes: Codes
    labels: tuple[str, ...]
    labelers: tuple[str, ...]

    def __post_init__(self) -> None:
        assert self.codes.ndim == 2
        assert self.codes.shape[1] == len(self.labelers)

    @classmethod
    def from_columns(cls, columns: Mapping[str, Column], labels: Sequence[str] = ()) -> "Votes":
        """By labeler, one vote per record, None abstains. Without `labels`, those seen, sorted.

        PipelineError for a vote that is none of `labels`, and for columns of different lengths.
        """
        arrays = {name: _as_array(column) for name, column in columns.items()}
        if len({len(array) for array in arrays.values()}) > 1:
            lengths = ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
            raise PipelineError(f"votes: columns differ in length ({lengths}): give one vote or null per record")
        known = tuple(labels) or seen_labels(arrays.values())
        coded = [encode(array, known, column=name) for name, array in arrays.items()]
        return cls(np.column_stack(coded) if coded else np.empty((0, 0), np.int16), known, tuple(arrays))

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def patterns(self) -> Groups:
        """Records with the same votes. A label model needs to look at each pattern only once."""
        return group_rows(self.codes.astype(np.int32) + 1, len(self.labels) + 1)

    @cached_property
    def pattern_codes(self) -> Codes:
        """p x m: the votes of each pattern."""
        return self.codes[self.patterns.first]


def encode(values: Column, labels: Sequence[str], *, column: str, unknown: bool = False) -> Codes:
    """Positions in `labels`, ABSTAINS for None. A value that is no label: PipelineError, or ABSTAINS if `unknown` ones may occur."""
    if len(labels) > MOST_LABELS:
        raise PipelineError(f"column {column}: {len(labels)} different labels, at most {MOST_LABELS} can be told apart: is it the right column?")
    array = _as_array(values)
    found = pc.index_in(array, value_set=pa.array(labels, pa.string()))
    if not unknown and found.null_count > array.null_count:
        strange = array.filter(pc.and_(pc.is_valid(array), pc.is_null(found)))[0].as_py()
        raise PipelineError(f"column {column}: {strange!r} is none of the labels ({', '.join(labels)}): correct it or add it to `labels`")
    codes: Codes = pc.fill_null(found, ABSTAINS).to_numpy().astype(np.int16)
    return codes


def seen_labels(columns: Iterable[Column]) -> tuple[str, ...]:
    """All values of the columns, sorted: the same whatever the order of the records."""
    return tuple(sorted({value for column in columns for value in pc.unique(_as_array(column)).to_pylist() if value is not None}))


def _as_array(column: Column) -> pa.Array | pa.ChunkedArray:
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks()
    return column if isinstance(column, pa.Array) else pa.array(column, pa.string())
