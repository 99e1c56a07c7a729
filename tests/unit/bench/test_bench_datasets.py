"""Prompts from files: what they say, in which order, and what is told about a faulty one."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_kit import content, load

from bench.errors import BenchError
from bench.prompts import dataset_files
from bench.prompts.bodies import Bodies, request_bodies
from bench.prompts.dataset_files import read_jsonl, read_sharegpt


def jsonl(folder: Path, *lines: Any) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), encoding="utf-8")
    return path


def bodies(path: Path, seed: int = 3, *, kind: str = "jsonl", **prompts: Any) -> Bodies:
    return request_bodies(load(prompts={"kind": kind, "file": str(path), "max_tokens": 4, **prompts}), seed=seed)


def said(build: Bodies, count: int) -> list[str]:
    """Without the salt."""
    return [content(build(index)).split("] ", 1)[1] for index in range(count)]


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    return jsonl(tmp_path, *({"prompt": f"question {number}"} for number in range(10)))


def test_in_file_order_the_file_is_gone_through_again_and_again(ten: Path) -> None:
    assert said(bodies(ten, order="file"), 20) == [f"question {number}" for number in range(10)] * 2


def test_shuffled_means_each_once_before_any_comes_again(ten: Path) -> None:
    first, again, other = said(bodies(ten), 10), said(bodies(ten), 20)[10:], said(bodies(ten, 4), 10)
    assert sorted(first) == sorted(again) == sorted(other) == sorted(f"question {number}" for number in range(10))
    assert first != other
    assert first != sorted(first)


def test_the_order_of_a_seed_never_changes(ten: Path) -> None:
    """Published numbers must stay reproducible: these orders may not move."""
    assert [int(text.split()[1]) for text in said(bodies(ten, 7), 10)] == [9, 2, 8, 0, 6, 7, 4, 5, 3, 1]
    assert [int(text.split()[1]) for text in said(bodies(ten, 7, order="drawn"), 10)] == [3, 2, 5, 4, 0, 8, 4, 0, 0, 9]


def test_drawn_means_with_replacement_from_the_seed(ten: Path) -> None:
    drawn = said(bodies(ten, order="drawn"), 300)
    assert drawn == said(bodies(ten, order="drawn"), 300)
    assert len(set(drawn)) == 10
    assert len(set(drawn[:10])) < 10


def test_one_question_asked_again_begins_with_another_word(ten: Path) -> None:
    build = bodies(ten, order="file")
    assert len({content(build(index)).split()[0] for index in range(100)}) == 100
    assert content(bodies(ten, order="file", salt=False)(0)) == "question 0"
    assert (build.shared_share, bodies(ten, salt=False).shared_share) == (0.0, 1.0)


@pytest.mark.slow
@given(st.lists(st.tuples(st.text(min_size=1), st.none() | st.integers(1, 10**7)), min_size=1, max_size=8), st.booleans())
def test_every_line_comes_out_as_it_went_in(tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, int | None]], salt: bool) -> None:
    path = jsonl(tmp_path_factory.mktemp("set"), *({"prompt": text, "max_tokens": most} for text, most in lines))
    build = bodies(path, order="file", salt=salt)
    for index, (text, most) in enumerate(lines):
        document = json.loads(build(index))
        got = document["messages"][0]["content"]
        assert (got.split("] ", 1)[1] if salt else got) == text
        assert document["max_tokens"] == (most or 4)
        assert document["messages"][0]["role"] == "user"


def test_messages_are_sent_as_they_are_with_the_salt_before_the_first_word(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "name": "Ann", "content": "Why?"}, {"role": "assistant", "content": None}]
    document = json.loads(bodies(jsonl(tmp_path, {"messages": messages}), order="file")(0))
    assert document["messages"][0]["content"].endswith("] Be brief.")
    assert document["messages"][0]["role"] == "system"
    assert document["messages"][1:] == messages[1:]
    assert json.loads(bodies(jsonl(tmp_path, {"messages": messages}), order="file", salt=False)(0))["messages"] == messages


def test_content_in_parts_gets_the_salt_as_a_part_of_its_own(tmp_path: Path) -> None:
    parts = [{"type": "image_url", "image_url": {"url": "data:,x"}}, {"type": "text", "text": "What is it?"}]
    path = jsonl(tmp_path, {"messages": [{"role": "user", "content": parts}]})
    salted = content(bodies(path)(0))
    assert salted[1:] == parts
    assert salted[0]["text"].startswith("[")
    assert content(bodies(path, salt=False)(0)) == parts


def test_another_field_may_hold_the_prompt_and_empty_lines_are_left_out(tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"question": "a"}, "", {"question": "b"})
    assert said(bodies(path, prompt_field="question", order="file"), 2) == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"prompt": ', "line 2: not JSON"),
        ("[1]", "line 2: must be one JSON object, got a list"),
        ({"promt": "x"}, "line 2: field `prompt`: missing"),
        ({"prompt": 7}, "line 2: field `prompt`: must be a text that is not empty, got a number"),
        ({"prompt": ""}, "line 2: field `prompt`: must be a text that is not empty, got a text"),
        ({"prompt": "x", "max_tokens": 0}, "line 2: field `max_tokens`: must be a whole number from 1"),
        ({"prompt": "x", "max_tokens": True}, "line 2: field `max_tokens`"),
        ({"messages": []}, "line 2: field `messages`: must be a list that is not empty"),
        ({"messages": [{"content": "x"}]}, "line 2: field `messages.0`: must be an object with the text `role`"),
        ({"messages": [{"role": "user", "content": None}]}, "line 2: field `messages.0.content`: must be a text or a list of parts, got nothing"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "user"}]}, "line 2: field `messages.1.content`"),
    ],
)
def test_a_faulty_line_is_named_with_its_field(tmp_path: Path, line: Any, told: str) -> None:
    path = jsonl(tmp_path, {"prompt": "fine"}, line)
    with pytest.raises(BenchError) as caught:
        bodies(path)
    assert str(caught.value).startswith(f"{path}, {told}")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"field `prompts\.file`: .*absent\.jsonl: cannot be read: No such file"):
        bodies(tmp_path / "absent.jsonl")
    with pytest.raises(BenchError, match="holds no prompt"):
        bodies(jsonl(tmp_path, ""))
    (tmp_path / "latin.jsonl").write_bytes(b'{"prompt": "\xe9"}\n')
    with pytest.raises(BenchError, match="not UTF-8"):
        bodies(tmp_path / "latin.jsonl")


def test_an_endless_line_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_files, "LONGEST", 1 << 20)
    path = jsonl(tmp_path, {"prompt": "x" * (1 << 20)})
    with pytest.raises(BenchError, match="line 1: longer than 1 million characters"):
        list(read_jsonl(path, "prompt"))


def conversation(*turns: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"id": "x", "conversations": [{"from": who, "value": value} for who, value in turns], **more}


def sharegpt(folder: Path, text: Any) -> Path:
    path = folder / "conversations.json"
    path.write_text(text if isinstance(text, str) else json.dumps(text, indent=1), encoding="utf-8")
    return path


def test_the_first_human_turn_of_each_conversation_is_asked(tmp_path: Path) -> None:
    path = sharegpt(
        tmp_path, [conversation(("human", "one"), ("gpt", "1")), conversation(("gpt", "hm"), ("user", "two")), conversation(("gpt", "no")), conversation()]
    )
    assert said(bodies(path, kind="sharegpt", order="file"), 3) == ["one", "two", "one"]


@given(st.lists(st.text(), max_size=12), st.integers(1, 40))
def test_the_list_is_read_piece_by_piece_wherever_the_pieces_end(tmp_path_factory: pytest.TempPathFactory, texts: list[str], piece: int) -> None:
    path = sharegpt(tmp_path_factory.mktemp("set"), [conversation(("human", text), ("gpt", "yes")) for text in texts])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset_files, "CHUNK", piece)
        assert [prompt.messages[0]["content"] for prompt in read_sharegpt(path)] == [text for text in texts if text.strip()]


@pytest.mark.slow
def test_a_file_larger_than_the_memory_it_may_use_is_read(tmp_path: Path) -> None:
    """30 MB of conversations: at no time is more held than a few pieces of 1 MiB and the places of the prompts."""
    path = tmp_path / "long.json"
    with path.open("w", encoding="utf-8") as file:
        file.write("[" + ",".join(json.dumps(conversation(("human", f"{number} " + "x" * 30_000))) for number in range(1000)) + "]")
    tracemalloc.start()
    build = bodies(path, kind="sharegpt", order="file")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 << 20
    assert content(build(999)).split()[1] == "999"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ": must hold one JSON list"),
        ('{"conversations": []}', ": must hold one JSON list"),
        ('[{"conversations": [', ", conversation 1: not JSON"),
        ('[{"conversations": []} {}]', ", after conversation 1: must go on with a comma or end with ], got '{'"),
        ('[{"conversations": []}', ", after conversation 1: must go on with a comma or end with ], got 'the end of the file'"),
        ("[[]]", ", conversation 1: field `conversations`: must be a list of turns, got a list"),
        ('[{"id": 1}]', ", conversation 1: field `conversations`: must be a list of turns, got nothing"),
        ('[{"conversations": []}, {"conversations": [{"from": "human"}]}]', ", conversation 2: field `conversations.0`: must be an object with the texts"),
    ],
)
def test_a_faulty_conversation_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = sharegpt(tmp_path, text)
    with pytest.raises(BenchError) as caught:
        list(read_sharegpt(path))
    assert str(caught.value).startswith(f"{path}{told}")
