"""How stages are cut into phases, and how tables and decisions fit together."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.pipelines.base import Batch, Decision, Stage
from stack.pipelines.dedup import ExactDedup, NearDedup
from stack.pipelines.frames import apply_decision, decision_table, dropped_by, fit, one_schema, regroup, to_batch, to_table
from stack.pipelines.label_stage import LabelStage
from stack.pipelines.labels.stages import Aggregate
from stack.pipelines.markers import Evaluate, Write
from stack.pipelines.phases import into_phases
from stack.pipelines.text import Normalise, Quality

LABEL = LabelStage.model_validate({"labelers": [{"kind": "keywords", "name": "words", "lexicon": {"yes": ["good"]}}]})


@pytest.mark.parametrize(
    ("stages", "titles"),
    [
        ([Write()], ["read"]),
        ([Normalise(), Quality(), Write()], ["read, normalise, quality"]),
        ([Normalise(), ExactDedup(), Write()], ["read, normalise; dedup"]),
        ([ExactDedup(), NearDedup(), Quality()], ["read; dedup", "near_dedup", "quality"]),
        ([LABEL, Aggregate(), Evaluate()], ["read", "label; aggregate"]),
        ([Normalise(), ExactDedup(), LABEL, Quality(), Aggregate()], ["read, normalise; dedup", "label, quality; aggregate"]),
    ],
)
def test_a_phase_ends_where_all_records_must_be_known_and_before_labelers(stages: list[Stage], titles: list[str]) -> None:
    assert [phase.title for phase in into_phases(stages)] == titles


def test_phases_have_names_of_their_own_that_another_phase_before_them_does_not_change() -> None:
    names = [phase.name for phase in into_phases([Quality(), ExactDedup(), Quality(), ExactDedup(), Quality()])]
    assert names == ["read", "quality", "quality-2"]
    assert [phase.name for phase in into_phases([ExactDedup(), LABEL, Aggregate()])] == ["read", "label"]
    assert [phase.name for phase in into_phases([ExactDedup(), NearDedup(), LABEL, Aggregate()])] == ["read", "near_dedup", "label"]


def table(rows: int) -> pa.Table:
    columns = {name: [None] * rows for name in ("source_id", "language", "gold")}
    batch = Batch({"record_id": [f"id{row}" for row in range(rows)], "source": ["s"] * rows, "row": list(range(rows)), "text": ["t"] * rows, **columns})
    return to_table(batch)


def test_a_column_of_nothing_is_text_so_that_shards_fit_together() -> None:
    some = to_table(Batch({**to_batch(table(2)).columns, "error": [None, None], "score": [1, 2]}))
    other = to_table(Batch({**to_batch(table(1)).columns, "error": ["late"], "score": [0.5]}))
    schema = one_schema([some.schema, other.schema])
    assert (schema.field("error").type, schema.field("score").type) == (pa.string(), pa.float64())
    assert pa.concat_tables([fit(some, schema), fit(other, schema)]).column("score").to_pylist() == [1.0, 2.0, 0.5]


@given(st.integers(0, 30), st.data())
def test_a_decision_keeps_or_names_every_record(rows: int, data: st.DataObject) -> None:
    out = data.draw(st.sets(st.integers(0, rows - 1))) if rows else set()
    decided = decision_table(Decision({row: ("why", f"instead{row}") for row in out}, {"part": [row % 3 for row in range(rows)]}), rows)
    kept = apply_decision(table(rows), decided)
    assert kept.column("row").to_pylist() == [row for row in range(rows) if row not in out]
    assert kept.column("part").to_pylist() == [row % 3 for row in range(rows) if row not in out]
    dropped = dropped_by(table(rows), decided, "stage")
    assert [(each.row, each.reason, each.detail, each.record_id, each.stage) for each in dropped] == [
        (row, "why", f"instead{row}", f"id{row}", "stage") for row in sorted(out)
    ]


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 7))
def test_how_rows_were_cut_does_not_show_in_the_groups_that_are_written(sizes: list[int], rows: int) -> None:
    parts, at = [], 0
    for size in sizes:
        parts.append(pa.table({"n": pa.array(range(at, at + size), pa.int64())}))
        at += size
    groups = [group.column("n").to_pylist() for group in regroup(parts, rows)]
    assert [number for group in groups for number in group] == list(range(at))
    assert all(len(group) == rows for group in groups[:-1])
