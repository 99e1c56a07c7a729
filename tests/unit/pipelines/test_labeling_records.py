"""Identity, normalisation, duplicates, choice."""

from hypothesis import given
from hypothesis import strategies as st

from stack.pipelines.records import Record, drop_duplicates, drop_empty, into_shards, normalise, take
from stack.pipelines.spec import Normalise

RECORDS = st.lists(st.tuples(st.sampled_from(["x", "y", "z"]), st.text(max_size=3)), max_size=40).map(
    lambda rows: [Record(source, row, text) for row, (source, text) in enumerate(sorted(rows))]
)
TIDY = Normalise(kind="normalise")


def test_a_record_id_is_that_of_source_row_and_text() -> None:
    # printf '["s",7,"é"]' | sha256sum
    assert Record("s", 7, "é").record_id == "7ba0f5835da197a4be3f4f52b9ed13dc"
    assert len({Record(*identity).record_id for identity in [("s", 7, "é"), ("s", 8, "é"), ("t", 7, "é"), ("s", 7, "e")]}) == 4


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(Record("s", 0, text), TIDY)
    assert normalise(once, TIDY) == once


def test_composed_and_decomposed_letters_are_the_same_text_and_so_duplicates() -> None:
    records = [normalise(Record("s", row, text), TIDY) for row, text in enumerate(["cafe\u0301  au\tlait", "caf\u00e9 au lait", " \n"])]
    kept, empty = drop_empty(records)
    kept, duplicates = drop_duplicates(kept)
    assert [record.row for record in kept] == [0]
    assert [(each.row, each.reason) for each in empty] == [(2, "empty")]
    assert [(each.row, each.reason, each.detail) for each in duplicates] == [(1, "duplicate", kept[0].record_id)]


@given(RECORDS)
def test_every_record_is_either_kept_or_dropped_and_named(records: list[Record]) -> None:
    kept, dropped = drop_duplicates(records)
    assert sorted([(each.source, each.row) for each in kept] + [(each.source, each.row) for each in dropped]) == sorted((r.source, r.row) for r in records)
    assert len({record.text for record in kept}) == len(kept)


@given(RECORDS, st.integers(1, 50))
def test_a_limit_takes_evenly_from_the_sources_and_keeps_their_order(records: list[Record], limit: int) -> None:
    chosen = take(records, limit)
    assert len(chosen) == min(limit, len(records))
    assert chosen == [record for record in records if record in chosen]
    counts = {source: sum(record.source == source for record in chosen) for source in {record.source for record in records}}
    exhausted = {source for source, count in counts.items() if count == sum(record.source == source for record in records)}
    open_counts = [count for source, count in counts.items() if source not in exhausted]
    assert not open_counts or max(counts.values()) <= min(open_counts) + 1


@given(RECORDS, st.integers(1, 9))
def test_shards_put_together_are_the_records(records: list[Record], size: int) -> None:
    shards = into_shards(records, size)
    assert [record for shard in shards for record in shard] == records
    assert all(len(shard) == size for shard in shards[:-1])
