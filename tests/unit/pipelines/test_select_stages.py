from collections import Counter, defaultdict

import pytest
from dedup_kit import WORK, outcome, shards_of
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks.near_duplicates import messages, planted
from stack.pipelines.errors import PipelineError
from stack.pipelines.select import Sample, Split, Take
from stack.pipelines.select.sample import allocate

NUMBERS = [str(number) for number in range(1000)]
LABELS = st.lists(st.sampled_from(["yes", "no", None]), max_size=40)


def kept(drops: dict[str, tuple[str, str]], count: int) -> set[str]:
    return {f"r{row}" for row in range(count)} - set(drops)


def test_a_sample_has_its_size_and_says_why_the_others_went() -> None:
    drops, _ = outcome(Sample(records=3), shards_of(["x"] * 10, [4]))
    assert len(drops) == 7
    assert {reason for reason, _ in drops.values()} == {"not_sampled"}
    assert outcome(Sample(records=30), shards_of(["x"] * 10))[0] == {}
    assert len(outcome(Sample(share=0.25), shards_of(["x"] * 20))[0]) == 15


def test_another_seed_takes_another_sample() -> None:
    samples = [frozenset(kept(outcome(Sample(records=10, seed=seed), shards_of(["x"] * 40))[0], 40)) for seed in range(5)]
    assert len(set(samples)) == 5


def test_proportional_strata_keep_their_shares_and_equal_ones_share_alike() -> None:
    labels = ["yes"] * 80 + ["no"] * 18 + ["maybe"] * 2
    for allocation, expected in (("proportional", {"yes": 8, "no": 2}), ("equal", {"yes": 4, "no": 4, "maybe": 2})):
        drops, _ = outcome(Sample(records=10, by=("label",), allocation=allocation), shards_of(["x"] * 100, label=labels))
        assert Counter(labels[int(name[1:])] for name in kept(drops, 100)) == expected


@given(st.dictionaries(st.text(max_size=2), st.integers(1, 50), min_size=1), st.data(), st.sampled_from(["proportional", "equal"]))
def test_an_allocation_gives_the_total_and_no_stratum_more_than_it_has(sizes: dict[str, int], data: st.DataObject, allocation: str) -> None:
    total = data.draw(st.integers(0, sum(sizes.values())))
    found = allocate(sizes, total, allocation)
    assert sum(found.values()) == total
    assert all(0 <= found[name] <= size for name, size in sizes.items())


@given(LABELS, st.data())
def test_a_sample_depends_neither_on_shards_nor_on_order(labels: list[str | None], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(labels))))
    cuts = data.draw(st.lists(st.integers(0, len(labels))))
    stage, count = Sample(share=0.4, by=("label",)), len(labels)
    mixed = shards_of(["x"] * count, cuts, label=[labels[at] for at in order], record_id=[f"r{at}" for at in order])
    assert outcome(stage, mixed) == outcome(stage, shards_of(["x"] * count, label=labels)) or not count


def test_a_sample_by_a_missing_column_names_those_there_are() -> None:
    with pytest.raises(PipelineError, match=r"field `by`: there is no column lable; columns at this stage: label, record_id"):
        outcome(Sample(records=1, by=("lable",)), shards_of(["x"], label=["yes"]))


@pytest.mark.parametrize("fields", [{}, {"records": 3, "share": 0.5}, {"share": 1.5}])
def test_a_sample_needs_one_size(fields: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Sample(**fields)


def test_a_take_goes_round_the_sources_and_keeps_the_old_order() -> None:
    drops, _ = outcome(Take(records=4), shards_of(["x"] * 7, [2, 5], source=["a", "a", "a", "a", "b", "c", "c"]))
    assert kept(drops, 7) == {"r0", "r4", "r5", "r1"}
    assert set(drops.values()) == {("limit", "")}


def parts(stage: Split, shards: list) -> dict[str, str]:
    return {name: columns["split"] for name, columns in outcome(stage, shards)[1].items()}


def test_parts_have_their_shares_to_the_record() -> None:
    found = Counter(parts(Split(near_duplicates=None), shards_of(NUMBERS, [333])).values())
    assert all(abs(found[name] - wanted) <= 1 for name, wanted in {"train": 800, "validation": 100, "test": 100}.items())


def test_each_part_has_its_share_of_each_label() -> None:
    labels = (["yes"] * 9 + ["no"]) * 100
    found = Counter(zip(labels, parts(Split(stratify="label", near_duplicates=None), shards_of(NUMBERS, label=labels)).values(), strict=True))
    assert all(abs(found["yes", name] - share * 900) <= 2 and abs(found["no", name] - share * 100) <= 2 for name, share in Split().shares.items())


@given(st.lists(st.tuples(st.sampled_from([None, "", "p", "q", "s", "t"]), st.integers(0, 30)), max_size=40), st.data())
def test_no_group_and_no_text_is_spread_and_cuts_and_order_change_nothing(records: list[tuple[str | None, int]], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(records))))
    cuts = data.draw(st.lists(st.integers(0, len(records))))
    groups, texts = [group for group, _ in records], [str(text) for _, text in records]
    stage = Split(group="author", near_duplicates=None, shares={"train": 0.5, "test": 0.5}, seed=3)
    found = parts(stage, shards_of(texts, author=groups))
    mixed = shards_of([texts[at] for at in order], cuts, author=[groups[at] for at in order], record_id=[f"r{at}" for at in order])
    assert parts(stage, mixed) == found
    where = defaultdict(set)
    for name, group, text in zip(found, groups, texts, strict=True):
        where["text", text].add(found[name])
        if group:
            where["group", group].add(found[name])
    assert all(len(seen) == 1 for seen in where.values())


@settings(max_examples=examples(25), deadline=None)
@given(st.integers(0, 1000))
def test_near_duplicates_and_the_authors_they_tie_together_stay_in_one_part(seed: int) -> None:
    letter = "the ministry asks every district office to send the corrected list of schools before the end of the month"
    texts = [letter, "lunch at noon", letter.replace("month", "week"), "a ship came in", "no news today", "rain is expected"]
    stage = Split(group="author", near_duplicates={"engine": "numpy"}, shares={"train": 0.5, "test": 0.5}, seed=seed)
    found = parts(stage, shards_of(texts, [2], author=["a", "a", "b", "b", None, None]))
    assert found == parts(stage, shards_of(texts, [1, 3, 4], author=["a", "a", "b", "b", None, None]))
    assert len({found[name] for name in ("r0", "r1", "r2", "r3")}) == 1
    assert len(set(found.values())) == 2


@pytest.mark.parametrize("engine", ["rensa", "numpy"])
def test_no_near_duplicate_leaks_from_one_part_into_another(engine: str) -> None:
    corpus = planted(messages(5, 400), copies=200, seed=5)
    found = parts(Split(near_duplicates={"engine": engine}, stratify="source"), shards_of(corpus.texts, [100, 350]))
    where = defaultdict(set)
    for name, of in zip(found, corpus.origin, strict=True):
        where[of].add(found[name])
    assert sum(len(seen) > 1 for seen in where.values()) <= 1
    assert abs(Counter(found.values())["train"] - 480) <= 5


def test_the_order_in_which_shares_are_named_changes_nothing() -> None:
    shares = {"train": 0.5, "test": 0.25, "validation": 0.25}
    one, other = (Split(near_duplicates=None, shares=dict(items)) for items in (shares.items(), reversed(shares.items())))
    assert parts(one, shards_of(NUMBERS)) == parts(other, shards_of(NUMBERS))


def test_no_sketch_holds_a_text_or_the_name_of_a_group() -> None:
    (shard,) = shards_of(["a secret text"], author=["Ada Lovelace"])
    sketch = Split(group="author", near_duplicates={"engine": "numpy"}).sketch(shard, WORK)
    assert not any(word in str(sketch.to_pydict()) for word in ("secret", "Ada", "Lovelace"))


def test_shares_that_do_not_make_one_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"shares must add up to 1, got 0.9"):
        Split(shares={"train": 0.8, "test": 0.1})
