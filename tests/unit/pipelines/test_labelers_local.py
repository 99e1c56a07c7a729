"""Labelers that ask no model: patterns, functions, neighbours, words; and their digests."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from asking_kit import llm
from pydantic import TypeAdapter, ValidationError

from stack.pipelines.errors import PipelineError
from stack.pipelines.labeling import Keywords, Labeler, Python, Vote, digest, labels_used, vote

LABELS = ("bug", "praise")
HERE = Path()


def labeler(**fields: Any) -> Any:
    return TypeAdapter(Labeler).validate_python({"name": "l", **fields})


def regex(**fields: Any) -> Any:
    return labeler(kind="regex", **{"patterns": {"bug": [r"crash(es|ed)?\b", r"err\w*"], "praise": [r"\bnice\b"]}, **fields})


def neighbours(**fields: Any) -> Any:
    solved = [("the app crashes when I open it", "bug"), ("it crashed again today", "bug"), ("what a lovely app, well done", "praise")]
    return labeler(kind="neighbours", **{"examples": [{"text": text, "label": label} for text, label in solved], **fields})


def labels_of(found: list[Vote]) -> list[str | None]:
    return [each.label for each in found]


def test_the_label_whose_patterns_match_most_often_wins() -> None:
    texts = ["It CRASHED with an error, nice", "nice and nice", "nice crash", "so so", ""]
    assert labels_of(vote(regex(), texts, LABELS, HERE)) == ["bug", "praise", None, None, None]
    assert labels_of(vote(regex(otherwise="praise"), texts[2:], LABELS, HERE)) == ["praise"] * 3
    assert labels_of(vote(regex(ignore_case=False), ["It CRASHED"], LABELS, HERE)) == [None]
    assert labels_of(vote(regex(patterns={"bug": ["x*"]}), ["aaa", "ax"], LABELS, HERE)) == [None, "bug"]


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("(", "not a regular expression"),
        ("a" * 1001, "patterns.bug.1"),
        ("(a+)+$", "repeat within a repeat"),
        (r"(?:\w+\s?)*x", "repeat within a repeat"),
        ("((a|b*)c)*", "repeat within a repeat"),
        ("(?:x(?=a+))*", "repeat within a repeat"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused_by_its_field(pattern: str, told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        regex(patterns={"bug": ["fine", pattern]})
    assert told in str(refused.value)
    assert "patterns" in str(refused.value)


@pytest.mark.parametrize("pattern", [r"\d{3}-\d{4}", r"(ab)+c*", r"(\d{1,3}\.){3}\d{1,3}", r"[^@\s]+@[^@\s]+\.\w+"])
def test_ordinary_patterns_pass(pattern: str) -> None:
    assert regex(patterns={"bug": [pattern]}).patterns["bug"] == (pattern,)


def written(folder: Path, body: str) -> Python:
    (folder / "rules.py").write_text(body)
    return Python(kind="python", name="p", entry="rules:label")


def test_a_function_beside_the_pipeline_votes(tmp_path: Path) -> None:
    by = written(tmp_path, "def label(texts):\n    return ['bug' if 'crash' in text else None for text in texts]\n")
    assert vote(by, ["a crash", "fine"], LABELS, tmp_path) == [Vote("bug"), Vote(None)]
    first = digest(by, LABELS, tmp_path)
    written(tmp_path, "def label(texts):\n    return ['praise'] * len(texts)\n")
    assert vote(by, ["a crash"], LABELS, tmp_path) == [Vote("praise")], "an edited module is the new one"
    assert digest(by, LABELS, tmp_path) != first


def test_only_the_texts_that_a_function_cannot_take_fail(tmp_path: Path) -> None:
    by = written(tmp_path, "def label(texts):\n    return [{'a': 'bug', 'b': 'else'}[text] for text in texts]\n")
    assert vote(by, ["a", "c", "b"], LABELS, tmp_path) == [
        Vote("bug"),
        Vote(None, "function_failed", value="KeyError: 'c'"),
        Vote(None, "not_a_label", value="else"),
    ]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("def label(texts):\n    return texts[:1]\n", "list of 2 labels, one per text; got list of 1"),
        ("def label(texts):\n    return None\n", "got NoneType"),
        ("def label(texts):\n    raise ValueError('never')\n", "fails for every text: ValueError: never"),
        ("def other(texts): ...\n", "no function label"),
        ("import nothing_of_this_name\n", "does not import: ModuleNotFoundError"),
    ],
)
def test_a_function_that_cannot_work_ends_the_run_in_one_line(tmp_path: Path, body: str, told: str) -> None:
    with pytest.raises(PipelineError, match=told):
        vote(written(tmp_path, body), ["x", "y"], LABELS, tmp_path)


def test_an_installed_module_may_be_named_and_a_missing_one_is_told(tmp_path: Path) -> None:
    installed = labeler(kind="python", entry="copy:copy")
    assert vote(installed, ["bug", "x"], LABELS, tmp_path) == [Vote("bug"), Vote(None, "not_a_label", value="x")]
    assert len(digest(installed, LABELS, tmp_path)) == 64
    with pytest.raises(PipelineError, match=r"field `entry`: there is no no_such_rules.py .* no installed Python module no_such_rules"):
        digest(labeler(kind="python", entry="no_such_rules:f"), LABELS, tmp_path)


def test_the_nearest_examples_vote_whatever_else_is_in_the_shard() -> None:
    texts = ["my app crashed when I open it", "lovely, well done!", "zzzz qqqq", ""]
    found = labels_of(vote(neighbours(), texts, LABELS, HERE))
    assert found == ["bug", "praise", None, None]
    assert [labels_of(vote(neighbours(), [text], LABELS, HERE))[0] for text in texts] == found
    assert labels_of(vote(neighbours(min_similarity=0.99, otherwise="bug"), ["lovely"], LABELS, HERE)) == ["bug"]
    assert labels_of(vote(neighbours(k=1), ["what a lovely app, well done"], LABELS, HERE)) == ["praise"]
    assert vote(neighbours(), [], LABELS, HERE) == []


def test_the_words_that_are_rare_are_those_of_the_examples_not_of_the_shard() -> None:
    solved = ["food food tea bus", "rain slow kind clinic", "good good good road", "late nurse slow food", "food bad late milk", "tea tea late clinic"]
    by = neighbours(k=1, examples=[{"text": text, "label": LABELS[1 - number % 2]} for number, text in enumerate(solved)])
    alone = labels_of(vote(by, ["nurse shop bad bad"], LABELS, HERE))
    assert labels_of(vote(by, ["nurse shop bad bad", *["tea bus tea bus road"] * 30], LABELS, HERE))[:1] == alone == ["bug"]


def test_as_similar_examples_of_two_labels_abstain() -> None:
    same = [{"text": "the same words", "label": label} for label in LABELS]
    assert labels_of(vote(neighbours(examples=same), ["the same words"], LABELS, HERE)) == [None]


def test_words_are_counted_as_before() -> None:
    by = Keywords.model_validate({"kind": "keywords", "name": "k", "lexicon": {"praise": ["good"], "bug": ["not good"]}})
    assert labels_of(vote(by, ["Good.", "not  GOOD", "goods", "good, not good"], LABELS, HERE)) == ["praise", "bug", None, None]


def test_the_digest_is_of_what_decides_a_vote() -> None:
    def of(**fields: Any) -> str:
        return digest(llm(**fields), LABELS, HERE)

    assert of() == of(concurrency=3, timeout_s=1, attempts=1, name="other", model="m")
    others = [of(), of(prompt="{text}?"), of(seed=1), of(max_tokens=9), of(output="spans"), of(system="s"), digest(llm(), (*LABELS, "x"), HERE)]
    assert len(set(others)) == len(others)
    assert digest(regex(), LABELS, HERE) != digest(regex(ignore_case=False), LABELS, HERE)
    assert digest(neighbours(), LABELS, HERE) != digest(neighbours(k=1), LABELS, HERE)


def test_labelers_of_the_old_kinds_keep_a_simple_body() -> None:
    """So that votes made before the new outputs stay valid."""
    body = {"examples": [], "kind": "llm", "labels": list(LABELS), "max_tokens": 8, "prompt": "{text}", "system": ""}
    assert digest(llm(), LABELS, HERE) == hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    by = Keywords.model_validate({"kind": "keywords", "name": "k", "lexicon": {"praise": ["good"]}})
    words = {"kind": "keywords", "labels": list(LABELS), "lexicon": {"praise": ["good"]}, "otherwise": None}
    assert digest(by, LABELS, HERE) == hashlib.sha256(json.dumps(words, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def test_the_labels_that_a_labeler_names_are_known() -> None:
    assert labels_used(regex(otherwise="x")) == ("bug", "praise", "x")
    assert labels_used(neighbours()) == LABELS
    assert labels_used(llm(examples=[{"text": "t", "label": "y"}])) == ("y",)
    assert labels_used(llm(output="spans", examples=[{"text": "t", "label": "[]"}])) == ()
    assert labels_used(labeler(kind="python", entry="a:b")) == ()
