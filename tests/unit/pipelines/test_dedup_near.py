import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from dedup_kit import decided, outcome, shards_of
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.near_duplicates import CORPORA, LEVELS, planted, scores
from stack.pipelines.base import Work
from stack.pipelines.dedup import NearDedup
from stack.pipelines.dedup.minhash import band_rows, similarity
from stack.pipelines.dedup.near import MinHash
from stack.pipelines.dedup.shingles import shingle_hashes
from stack.pipelines.errors import PipelineError

LETTER = "the ministry asks every district office to send the corrected list of schools before the end of the month"
NUMPY = NearDedup(engine="numpy")


def test_a_text_with_one_changed_word_is_dropped_in_favour_of_the_first() -> None:
    drops, _ = outcome(NUMPY, shards_of(["quite another matter", LETTER, LETTER.replace("month", "week"), LETTER.upper()], [1, 3]))
    assert drops == {"r2": ("near_duplicate", "r1"), "r3": ("near_duplicate", "r1")}


def test_neighbours_in_a_chain_are_one_cluster() -> None:
    words = LETTER.split()
    chain = [" ".join([*words[step:], *("other" + str(step * 7919 + at) for at in range(step))]) for step in (0, 2, 3)]
    a, b, c = NUMPY.signatures(chain)
    assert similarity(a[None], c[None])[0] < 0.7 <= min(similarity(a[None], b[None])[0], similarity(b[None], c[None])[0])
    drops, _ = outcome(NearDedup(engine="numpy", threshold=0.7), shards_of(chain))
    assert drops == {"r1": ("near_duplicate", "r0"), "r2": ("near_duplicate", "r0")}


@pytest.mark.parametrize("unit", ["words", "characters"])
@given(texts=st.lists(st.text("ab \u0e01\U0001f600", max_size=30), max_size=8), size=st.integers(1, 6))
def test_hashes_tell_the_same_sets_of_shingles_as_python(unit: str, texts: list[str], size: int) -> None:
    hashes, offsets = shingle_hashes(texts, unit, size)
    names: dict[int, object] = {}
    for at, text in enumerate(texts):
        tokens = list(" ".join(text.split())) if unit == "characters" else text.split()
        tokens += ["\0"] * (size - len(tokens))
        wanted = [tuple(tokens[start : start + size]) for start in range(len(tokens) - size + 1)]
        mine = hashes[offsets[at] : offsets[at + 1]].tolist()
        assert len(mine) == len(wanted)
        assert all(names.setdefault(value, shingle) == shingle for value, shingle in zip(mine, wanted, strict=True))
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize("engine", ["rensa", "numpy"])
def test_the_estimate_is_the_jaccard_similarity_of_the_sets(engine: str) -> None:
    random_ = random.Random(3)
    how = MinHash(engine=engine, shingle="words", size=1, permutations=1024)
    for shared in (20, 100, 180):
        both, left, right = ([f"w{random_.getrandbits(40)}" for _ in range(count)] for count in (shared, 200 - shared, 200 - shared))
        a, b = how.signatures([" ".join(both + left), " ".join(right + both)])
        true = shared / (400 - shared)
        assert abs(similarity(a[None], b[None])[0] - true) < 4 * np.sqrt(true * (1 - true) / 1024) + 0.005


@pytest.mark.parametrize(("engine", "sha256"), [("rensa", "76468d4ca9780025"), ("numpy", "efa4cf9e86b7c11f")])
def test_a_signature_is_the_same_on_every_machine(engine: str, sha256: str) -> None:
    assert hashlib.sha256(MinHash(engine=engine).signatures([LETTER, "", "ก"]).tobytes()).hexdigest()[:16] == sha256


def test_a_signature_does_not_depend_on_the_batch_it_was_made_in() -> None:
    texts = [LETTER[:length] for length in range(0, 100, 3)]
    together = MinHash(engine="numpy").signatures(texts)
    assert all((MinHash(engine="numpy").signatures([text])[0] == together[at]).all() for at, text in enumerate(texts))


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12)), max_size=25), st.data())
def test_cuts_of_near_duplicates_into_shards_change_nothing(recipe: list[tuple[int, int]], data: st.DataObject) -> None:
    words = LETTER.split()
    texts = [" ".join([*words[shift * 3 :], *(["tail"] * shift), f"n{number}"]) for shift, number in recipe]
    cuts = data.draw(st.lists(st.integers(0, len(texts)), max_size=4))
    assert outcome(NUMPY, shards_of(texts, cuts)) == outcome(NUMPY, shards_of(texts))


def test_bands_miss_at_most_two_in_a_hundred_pairs_at_the_threshold() -> None:
    assert (band_rows(0.6, 128), band_rows(0.7, 128)) == (4, 5)
    for threshold in (0.4, 0.5, 0.7, 0.9):
        rows = band_rows(threshold, 128)
        assert (1 - threshold**rows) ** (128 // rows) <= 0.02
    assert band_rows(0.9, 128) > band_rows(0.7, 128) > band_rows(0.4, 128)


@pytest.mark.parametrize("engine", ["rensa", "numpy"])
@pytest.mark.parametrize(("kind", "originals"), [("letters", 1200), ("messages", 1200), ("nusax", 200)])
def test_planted_duplicates_are_found_and_nothing_else(kind: str, originals: int, engine: str) -> None:
    found = scores(planted(CORPORA[kind](11, originals), copies=300, seed=11), NearDedup(engine=engine))
    assert set(found.recall) == set(LEVELS)
    assert min(found.recall.values()) >= 0.95
    assert found.precision >= 0.99


class TestIndex:
    stage = NearDedup(engine="numpy", index="kept.parquet")

    def run(self, folder: Path, texts: dict[str, str]) -> dict[str, tuple[str, str]]:
        shards = shards_of(list(texts.values()), [1], record_id=list(texts))
        work = Work(folder)
        drops, _ = outcome(self.stage, shards, work)
        self.stage.committed([self.stage.sketch(shard, work) for shard in shards], decided(self.stage, shards, work), work)
        return drops

    def test_a_later_run_drops_what_is_near_an_earlier_ones_record(self, tmp_path: Path) -> None:
        assert self.run(tmp_path, {"a": LETTER, "b": "something else altogether"}) == {}
        later = {"c": "a third matter of its own", "d": LETTER.replace("month", "week"), "e": LETTER.replace("month", "year")}
        assert self.run(tmp_path, later) == {"d": ("near_duplicate", "a"), "e": ("near_duplicate", "a")}

    def test_runs_made_again_in_any_order_decide_what_they_decided(self, tmp_path: Path) -> None:
        first = {"a": LETTER, "b": LETTER.replace("month", "week"), "c": "something else altogether"}
        second = {"d": "a third matter of its own", "e": LETTER.replace("month", "year")}
        before = self.run(tmp_path, first), self.run(tmp_path, second)
        content = (tmp_path / "kept.parquet").read_bytes()
        assert before == ({"b": ("near_duplicate", "a")}, {"e": ("near_duplicate", "a")})
        assert (self.run(tmp_path, first), self.run(tmp_path, second)) == before
        assert (tmp_path / "kept.parquet").read_bytes() == content

    def test_a_run_with_more_records_keeps_those_it_kept_before(self, tmp_path: Path) -> None:
        assert self.run(tmp_path, {"a": LETTER, "b": "something else altogether"}) == {}
        more = {"n": LETTER.replace("month", "week"), "a": LETTER, "b": "something else altogether"}
        assert self.run(tmp_path, more) == {"n": ("near_duplicate", "a")}

    def test_two_runs_that_add_at_once_both_end_up_in_the_index(self, tmp_path: Path) -> None:
        texts = [f"a text of its own, number {hashlib.sha256(bytes([at])).hexdigest()}" for at in range(24)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda at: self.run(tmp_path, {f"x{at}": texts[at], f"y{at}": texts[at + 1]}), range(0, 24, 2)))
        assert pq.read_table(tmp_path / "kept.parquet").num_rows == 24

    def test_a_write_that_fails_leaves_the_index_as_it_was(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run(tmp_path, {"a": LETTER, "b": "x"})
        before = (tmp_path / "kept.parquet").read_bytes()

        def full(_table: object, path: Path) -> None:
            Path(path).write_bytes(b"PAR1 half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("stack.pipelines.dedup.index.pq.write_table", full)
        with pytest.raises(OSError, match="No space"):
            self.run(tmp_path, {"c": "a third matter of its own", "d": "y"})
        assert (tmp_path / "kept.parquet").read_bytes() == before
        assert sorted(path.name for path in tmp_path.iterdir()) == [".kept.parquet.lock", "kept.parquet"]

    def test_a_missing_index_is_an_empty_one(self, tmp_path: Path) -> None:
        assert outcome(self.stage, shards_of([LETTER]), Work(tmp_path)) == ({}, {"r0": {}})

    def test_an_index_made_with_other_settings_is_refused_in_one_line(self, tmp_path: Path) -> None:
        self.run(tmp_path, {"a": LETTER, "b": "x"})
        other = NearDedup(engine="numpy", index="kept.parquet", size=4)
        with pytest.raises(PipelineError, match=r"field `index`: kept.parquet was made with .* name another file"):
            outcome(other, shards_of([LETTER]), Work(tmp_path))

    def test_a_file_that_is_no_index_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "kept.parquet").write_text("id,text\n")
        with pytest.raises(PipelineError, match="field `index`"):
            outcome(self.stage, shards_of([LETTER]), Work(tmp_path))
