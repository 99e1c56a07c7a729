"""Records between stages: a batch in columns while stages work, a table on disk between tasks, decisions laid over it (pure)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from stack.pipelines.base import Batch, Decision, Dropped

TYPES: dict[str, pa.DataType] = {
    "record_id": pa.string(),
    "source": pa.string(),
    "row": pa.int64(),
    "source_id": pa.string(),
    "language": pa.string(),
    "text": pa.string(),
    "gold": pa.string(),
}
"""The columns that every record has, in their order; those of stages follow and are typed by their values."""

UNIQUE = frozenset({"record_id", "row", "source_id", "text", "record_sha256"})
"""Columns whose values hardly ever occur twice."""

REASON, DETAIL = "__reason", "__detail"
"""Columns of a decision's table beside those that it adds."""


def to_table(batch: Batch) -> pa.Table:
    """Known columns first. A column of nothing but None is text, so that shards fit together."""
    names = [*TYPES, *(name for name in batch.columns if name not in TYPES)]
    return pa.table({name: _array(batch.columns[name], TYPES.get(name)) for name in names})


def repetitive(schema: pa.Schema) -> list[str]:
    """The columns for which a dictionary of values saves room in Parquet; trying one for the others costs a third of the writing."""
    return [name for name in schema.names if name not in UNIQUE]


def to_batch(table: pa.Table) -> Batch:
    return Batch({name: table.column(name).to_pylist() for name in table.schema.names})


def decision_table(decision: Decision, rows: int) -> pa.Table:
    """One row per record that the stage saw; the reason is null where the record stays."""
    reasons: list[str | None] = [None] * rows
    details: list[str | None] = [None] * rows
    for position, (reason, detail) in decision.drop.items():
        reasons[position], details[position] = reason, detail
    columns = {name: _array(list(values), None) for name, values in decision.columns.items()}
    return pa.table({REASON: pa.array(reasons, pa.string()), DETAIL: pa.array(details, pa.string()), **columns})


def apply_decision(table: pa.Table, decided: pa.Table) -> pa.Table:
    """The records that stay, with the columns that were added (or replaced)."""
    for name in decided.schema.names:
        if name in (REASON, DETAIL):
            continue
        column = decided.column(name)
        position = table.schema.get_field_index(name)
        table = table.append_column(name, column) if position < 0 else table.set_column(position, name, column)
    kept = decided.column(REASON).is_null()
    return table if decided.column(REASON).null_count == len(kept) else table.filter(kept)


def dropped_by(table: pa.Table, decided: pa.Table, stage: str) -> list[Dropped]:
    """The records that a decision leaves out; `table` needs record_id, source and row."""
    out = np.flatnonzero(np.asarray(decided.column(REASON).is_valid()))
    if not len(out):
        return []
    left, said = table.take(out), decided.take(out)
    columns = (left.column("source"), left.column("row"), said.column(REASON), said.column(DETAIL), left.column("record_id"))
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    return [Dropped(source, row, reason, detail, record_id, stage) for source, row, reason, detail, record_id in rows]


def one_schema(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """A schema that all tables can be cast to; columns in the order in which they first occur."""
    return pa.unify_schemas(list(schemas), promote_options="permissive")


def fit(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table under a wider schema; columns that it lacks are null."""
    rows = table.num_rows
    columns = [table.column(field.name).cast(field.type) if field.name in table.schema.names else pa.nulls(rows, field.type) for field in schema]
    return pa.table(columns, schema=schema)


def regroup(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of exactly `rows` (the last may be shorter), so that what is written does not show how it was cut."""
    held: list[pa.Table] = []
    count = 0
    for table in tables:
        held.append(table)
        count += table.num_rows
        while count >= rows:
            whole = pa.concat_tables(held)
            yield whole.slice(0, rows)
            held, count = [whole.slice(rows)], count - rows
    if count:
        yield pa.concat_tables(held)


def _array(values: Sequence[Any], kind: pa.DataType | None) -> pa.Array:
    array = pa.array(values, kind)
    return array.cast(pa.string()) if pa.types.is_null(array.type) else array
