import pytest
from dedup_kit import outcome, shards_of
from hypothesis import given
from hypothesis import strategies as st

from stack.pipelines.dedup import ExactDedup
from stack.pipelines.dedup.columns import byte_matrix


def test_the_first_record_of_a_text_is_kept_and_named_by_the_others() -> None:
    drops, _ = outcome(ExactDedup(), shards_of(["a", "b", "a", "c", "b", "a"], [2, 4]))
    assert drops == {"r2": ("duplicate", "r0"), "r4": ("duplicate", "r1"), "r5": ("duplicate", "r0")}


@given(st.lists(st.sampled_from(["", "a", "b", "long text", "ÿ", "\ud800"])), st.data())
def test_cuts_into_shards_change_nothing_and_a_dictionary_agrees(texts: list[str], data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(texts))))
    drops, _ = outcome(ExactDedup(), shards_of(texts, cuts))
    assert drops == {f"r{at}": ("duplicate", f"r{texts.index(text)}") for at, text in enumerate(texts) if texts.index(text) < at}


@pytest.mark.parametrize("start", [0, 1, 3])
def test_a_sliced_sketch_reads_as_the_rows_it_has(start: int) -> None:
    from dedup_kit import WORK

    table = ExactDedup().sketch(shards_of(["a", "b", "c"])[0], WORK)
    assert (byte_matrix([table.slice(start)], "digest", 16) == byte_matrix([table], "digest", 16)[start:]).all()
