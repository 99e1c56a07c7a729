"""Synthetic prompts have exactly the tokens they should, and share what they should."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_kit import KINDS, content, load, save, tokenizer
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from bench.errors import BenchError
from bench.prompts.bodies import Bodies, request_bodies
from bench.prompts.tokenizer import count_tokens, find_tokenizer, load_tokenizer
from bench.prompts.vocabulary import Texts, Vocabulary, keep_whole


@pytest.fixture(scope="module", params=KINDS)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("model") / request.param, request.param)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def counter(model: Path) -> Tokenizer:
    return load_tokenizer(model)


@pytest.fixture(scope="module")
def texts(counter: Tokenizer) -> Texts:
    return Texts(Vocabulary.of(counter), seed=1, tokenizer=counter)


def synthetic(model: Path, seed: int = 3, *, input_tokens: Any = 40, **more: Any) -> Bodies:
    return request_bodies(
        load(prompts={"kind": "synthetic", "input_tokens": input_tokens, "max_tokens": 8, "tokenizer": str(model), **more}, warmup={}), seed=seed
    )


def test_any_length_is_exact_with_tokenizers_of_every_family(family: Path) -> None:
    counting = load_tokenizer(family)
    build = synthetic(family, input_tokens={"kind": "uniform", "min": 1, "max": 300}, prefix={"tokens": 37, "pool": 3, "hit_ratio": 0.5})
    plain = synthetic(family, input_tokens={"kind": "uniform", "min": 1, "max": 300})
    for index in range(150):
        said = content(plain(index))
        assert count_tokens(counting, content(build(index))) == count_tokens(counting, said) + 37
        assert said == said.strip()
    drawn = [count_tokens(counting, content(plain(index))) for index in range(150)]
    assert min(drawn) < 30
    assert max(drawn) > 270


@given(st.integers(1, 3000), st.integers(0, 2**40))
def test_a_text_of_n_tokens_has_n_tokens(texts: Texts, counter: Tokenizer, tokens: int, index: int) -> None:
    assert count_tokens(counter, texts("prompts", index, tokens).decode()) == tokens


@given(st.integers(1, 500), st.integers(1, 500), st.integers(0, 2**40))
def test_a_shorter_text_is_the_beginning_of_the_longer_one(texts: Texts, one: int, other: int, index: int) -> None:
    short, long = sorted((one, other))
    assert texts("prompts", index, long).split()[:short] == texts("prompts", index, short).split()


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 1000))
def test_texts_put_one_after_the_other_add_up(texts: Texts, counter: Tokenizer, one: int, other: int, index: int) -> None:
    joined = texts("own-prefix", index, one) + b" " + texts("prompts", index, other)
    assert count_tokens(counter, joined.decode()) == one + other


def test_prompts_begin_with_words_of_their_own_and_follow_the_seed(model: Path) -> None:
    of_three, of_four = synthetic(model, 3), synthetic(model, 4)
    openings = {tuple(content(build(index)).split()[:8]) for build in (of_three, of_four) for index in range(2000)}
    assert len(openings) == 4000
    assert of_three.shared_share == 0.0


def test_the_prompts_of_a_seed_never_change(tmp_path: Path) -> None:
    """These bytes may not move. The vocabulary is spelled out, so that training may."""
    words = [first + middle + last for first in "bdfgk" for middle in "aeiou" for last in "lmnrst"]
    made = Tokenizer(models.WordLevel({"<unk>": 0, **{word: place for place, word in enumerate(words, 1)}}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    build = synthetic(tmp_path, 7, input_tokens={"kind": "lognormal", "median": 60, "sigma": 0.6}, prefix={"tokens": 24, "pool": 4, "hit_ratio": 0.75})
    assert content(synthetic(tmp_path, 7, input_tokens=3)(0)) == "fut fom bim"
    assert hashlib.sha256(b"\n".join(build(index) for index in range(500))).hexdigest() == "924b72d328abe6b3f657b19f319b16ec1f2c331865bb6fd25d0d76a2fa435d57"


def test_order_of_calls_changes_nothing(model: Path) -> None:
    prefix = {"tokens": 20, "pool": 5, "hit_ratio": 0.5}
    one, other = synthetic(model, prefix=prefix), synthetic(model, prefix=prefix)
    assert [one(index) for index in range(60)] == [other(index) for index in reversed(range(60))][::-1]


def test_without_salt_another_seed_says_the_same_words(model: Path) -> None:
    assert synthetic(model, 3, salt=False)(5) == synthetic(model, 4, salt=False)(5)
    assert synthetic(model, 3, salt=False).shared_share == 1.0


@pytest.mark.parametrize("hit_ratio", [0.0, 0.3, 0.9, 1.0])
def test_shared_prefixes_are_met_as_often_as_asked(model: Path, hit_ratio: float) -> None:
    count, pool = 3000, 6
    build = synthetic(model, input_tokens=10, prefix={"tokens": 30, "pool": pool, "hit_ratio": hit_ratio})
    openings = [" ".join(content(build(index)).split()[:30]) for index in range(count)]
    uses = {opening: openings.count(opening) for opening in set(openings)}
    shared = [number for number in uses.values() if number > 1]
    hits = sum(shared)
    assert abs(hits - count * hit_ratio) <= 3.3 * math.sqrt(count * hit_ratio * (1 - hit_ratio))  # the 99.9 % interval; the seed is fixed
    assert len(shared) == (pool if hit_ratio else 0)
    assert all(abs(number - hits / pool) <= 4 * math.sqrt(hits / pool) for number in shared)
    assert math.isclose(build.shared_share, hit_ratio * 30 / 40)


def test_a_shared_prefix_is_followed_by_words_of_ones_own(model: Path) -> None:
    build = synthetic(model, input_tokens=10, prefix={"tokens": 30})
    assert len({" ".join(content(build(index)).split()[30:]) for index in range(500)}) == 500
    assert content(build(0)).split()[:30] != content(synthetic(model, 4, input_tokens=10, prefix={"tokens": 30})(0)).split()[:30]


def test_output_lengths_are_fixed_by_default(model: Path) -> None:
    document = json.loads(synthetic(model)(0))
    assert (document["max_tokens"], document["ignore_eos"]) == (8, True)


def test_limits_that_a_tokenizer_remembers_from_its_training_are_lifted(tmp_path: Path) -> None:
    counting = load_tokenizer(save(tmp_path, max_length=16))
    assert count_tokens(counting, " day" * 40) == 40
    assert count_tokens(counting, " day") == 1


def test_words_that_a_token_joins_to_the_next_are_left_out() -> None:
    """Such tokens make counts depend on neighbours: here "water" goes with "time", and every word that ends in "ing" with "s"."""
    made = tokenizer("byte_level")
    made.add_tokens([AddedToken("waterĠtime", normalized=False), AddedToken("ingĠs", normalized=False)])
    words = Vocabulary.of(made).words
    assert "water" not in words
    assert "time" in words
    assert not any(word.endswith("ing") for word in words)
    assert any(word.endswith("ing") for word in Vocabulary.of(tokenizer("byte_level")).words)


def test_a_word_counts_as_whole_only_where_it_is_one_token_every_time() -> None:
    made = tokenizer("byte_level")
    assert keep_whole(made, ["water", "xylophone", "paper", "water"]) == ["water", "paper", "water"]


def test_a_tokenizer_of_single_letters_is_refused_with_the_way_out(tmp_path: Path) -> None:
    made = Tokenizer(models.BPE({chr(place): place for place in range(97, 123)}, []))
    made.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(BenchError, match=r"only 0 plain words are one token each .* use prompts of kind text"):
        synthetic(tmp_path)


def test_a_model_without_tokenizer_is_told_the_mend(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"field `prompts.tokenizer`: exact lengths need the tokenizer of mock: .*--tokenizer"):
        request_bodies(load(prompts={"kind": "synthetic", "input_tokens": 4, "max_tokens": 4}), seed=1)
    for name, mend in (("weights.gguf", "models pull"), ("tokenizer.model", "save_pretrained"), ("config.json", "give the folder of the model")):
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        (folder / name).write_text("{}")
        with pytest.raises(BenchError, match=r"no tokenizer\.json in it") as caught:
            load_tokenizer(folder)
        assert mend in str(caught.value)
    with pytest.raises(BenchError, match="models pull"):
        load_tokenizer(tmp_path / "weights-gguf" / "weights.gguf")
    with pytest.raises(BenchError, match="no such file or folder"):
        load_tokenizer(tmp_path / "absent")
    with pytest.raises(BenchError, match="not a tokenizer of the `tokenizers` package"):
        load_tokenizer(tmp_path / "config-json" / "config.json")


def test_a_catalog_model_on_this_machine_brings_its_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACKPROOF_CACHE", str(tmp_path))
    assert find_tokenizer(None, model="smollm2-135m-instruct") is None
    folder = save(tmp_path / "models" / "smollm2-135m-instruct")
    assert find_tokenizer(None, model="smollm2-135m-instruct") == folder
    assert find_tokenizer(None, model="another") is None
    assert find_tokenizer(tmp_path / "given", model="smollm2-135m-instruct") == tmp_path / "given"


def test_words_that_split_when_they_stand_together_are_dropped() -> None:
    made = tokenizer("byte_level")
    vocabulary = Vocabulary.of(made)
    written = Texts(Vocabulary((*vocabulary.words, "zzzyx"), (*vocabulary.starters, "zzzyx")), seed=1, tokenizer=made)
    for index in range(200):
        assert count_tokens(made, written("prompts", index, 60).decode()) == 60
