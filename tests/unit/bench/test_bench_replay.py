"""A replayed trace has the lengths of its rows, and Mooncake's prefixes are met again as in the trace."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from prompt_kit import content, load, save

from bench.arrivals.traces import TraceRow
from bench.prompts.bodies import Bodies, request_bodies
from bench.prompts.replay import BLOCK, repeated_share
from bench.prompts.tokenizer import count_tokens, load_tokenizer

MOONCAKE = [
    {"timestamp": 0, "input_length": 1200, "output_length": 7, "hash_ids": [0, 1, 2]},
    {"timestamp": 10, "input_length": 1024, "output_length": 9, "hash_ids": [0, 3]},
    {"timestamp": 20, "input_length": 1300, "output_length": 11, "hash_ids": [0, 1, 4]},
    {"timestamp": 30, "input_length": 100, "output_length": 5, "hash_ids": [5]},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("model"))


def mooncake(folder: Path) -> dict[str, Any]:
    path = folder / "trace.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in MOONCAKE))
    return {"kind": "trace", "file": str(path), "format": "mooncake"}


def azure(folder: Path) -> dict[str, Any]:
    path = folder / "trace.csv"
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,480,10\n2023-11-16 18:17:04.0319600,31,8\n")
    return {"kind": "trace", "file": str(path), "format": "azure"}


def replay(model: Path, arrivals: dict[str, Any], seed: int = 3, **prompts: Any) -> Bodies:
    return request_bodies(load(arrivals=arrivals, prompts={"kind": "trace", "tokenizer": str(model), **prompts}), seed=seed)


def test_each_request_has_the_lengths_of_its_row(model: Path, tmp_path: Path) -> None:
    counting = load_tokenizer(model)
    for arrivals, expected in ((azure(tmp_path), [(480, 10), (31, 8)]), (mooncake(tmp_path), [(1200, 7), (1024, 9), (1300, 11), (100, 5)])):
        build = replay(model, arrivals)
        found = [(count_tokens(counting, content(build(index))), json.loads(build(index))["max_tokens"]) for index in range(len(expected))]
        assert found == expected
        assert json.loads(build(0))["ignore_eos"] is True


def test_equal_prefix_hashes_give_equal_text_and_no_more(model: Path, tmp_path: Path) -> None:
    build = replay(model, mooncake(tmp_path))
    words = [content(build(index)).split() for index in range(4)]
    assert common(words[0], words[1]) == BLOCK
    assert common(words[0], words[2]) == 2 * BLOCK
    assert common(words[0], words[3]) == 0


def test_blocks_stay_shareable_within_a_run_and_are_new_with_another_seed(model: Path, tmp_path: Path) -> None:
    trace = mooncake(tmp_path)
    assert common(content(replay(model, trace, 3)(0)).split(), content(replay(model, trace, 4)(0)).split()) == 0
    assert replay(model, trace, 3, salt=False)(0) == replay(model, trace, 4, salt=False)(0)


def test_a_run_longer_than_the_trace_meets_the_same_blocks_but_new_words_elsewhere(model: Path, tmp_path: Path) -> None:
    again, fresh = replay(model, mooncake(tmp_path)), replay(model, azure(tmp_path))
    assert content(again(1)) == content(again(5))
    assert common(content(fresh(1)).split(), content(fresh(3)).split()) == 0


def test_a_last_block_that_is_cut_is_the_beginning_of_the_whole_one(model: Path, tmp_path: Path) -> None:
    whole, cut = replay(model, mooncake(tmp_path)), replay(model, mooncake(tmp_path), max_input_tokens=700, max_output_tokens=8)
    assert content(cut(0)).split() == content(whole(0)).split()[:700]
    assert [json.loads(cut(index))["max_tokens"] for index in range(4)] == [7, 8, 8, 5]


def test_the_shared_share_counts_what_earlier_prompts_began_with(model: Path, tmp_path: Path) -> None:
    assert replay(model, mooncake(tmp_path)).shared_share == pytest.approx((BLOCK + 2 * BLOCK) / (1200 + 1024 + 1300 + 100))
    assert replay(model, azure(tmp_path)).shared_share == 0.0
    behind = [TraceRow(0, 1024, 1, (1, 2)), TraceRow(0, 1024, 1, (3, 2))]
    assert repeated_share(behind, None) == 0.0, "a block is reused only when all before it are the same"
    assert repeated_share([TraceRow(0, 600, 1, (1, 2))] * 2, None) == 0.5


def test_the_prompts_of_a_trace_never_change(tmp_path: Path) -> None:
    """These bytes may not move; the vocabulary is that of the words, whatever the training."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    from bench.prompts.word_list import ENGLISH

    made = Tokenizer(models.WordLevel({"<unk>": 0, **{word: place for place, word in enumerate(ENGLISH, 1)}}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    build = replay(tmp_path, mooncake(tmp_path), 7)
    assert hashlib.sha256(b"\n".join(build(index) for index in range(8))).hexdigest() == "66acd887b40b3c038e34160d2d9e02e13c4c55dc6c4d3082189f409af16213e1"


def common(one: list[str], other: list[str]) -> int:
    """Words that both begin with."""
    return next((place for place, (mine, yours) in enumerate(zip(one, other, strict=False)) if mine != yours), min(len(one), len(other)))
