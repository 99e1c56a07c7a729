"""The log of reviews and what it comes to."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from review_kit import write_dataset

from stack.pipelines.errors import PipelineError
from stack.pipelines.review import Decision, Kind, fold, people_votes, read_decisions, reviewed
from stack.pipelines.review.decisions import text_sha256
from stack.pipelines.review.log import ReviewLog, open_log
from stack.pipelines.review.queue import read_dataset

DIGEST = text_sha256("x")
AT = datetime(2026, 11, 24, tzinfo=UTC)


def decision(seq: int, who: str, record_id: str, label: str | None, kind: Kind = Kind.VOTE, digest: str = DIGEST) -> Decision:
    return Decision(record_id=record_id, text_sha256=digest, reviewer=who, label=label, at=AT, kind=kind, seq=seq)


def written(actions: list[tuple[str, str, str | None]]) -> list[Decision]:
    """A log of (reviewer, record, label or "undo")."""
    return [
        decision(seq, who, record, None, Kind.UNDO) if act == "undo" else decision(seq, who, record, act) for seq, (who, record, act) in enumerate(actions, 1)
    ]


ACTIONS = st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from(("p", "q", "r")), st.sampled_from(("x", "y", None, "undo"))), max_size=40)


@given(ACTIONS)
def test_any_interleaving_of_votes_and_undos_gives_what_a_reviewer_alone_would_have(actions: list[tuple[str, str, str | None]]) -> None:
    log = written(actions)
    state = fold(log)
    for who in "AB":
        history: list[dict[str, str | None]] = [{}]  # snapshots: an undo goes back to the one before
        for actor, record, act in actions:
            if actor != who:
                continue
            if act == "undo":
                if len(history) > 1:
                    history.pop()
            else:
                history.append({**history[-1], record: act})
        assert {record: each.label for record, each in state.of(who).items()} == history[-1]


@given(ACTIONS)
def test_folding_a_log_in_two_parts_gives_the_same_state(actions: list[tuple[str, str, str | None]]) -> None:
    log = written(actions)
    resumed = fold(log[: len(log) // 2])
    for each in log[len(log) // 2 :]:
        resumed.add(each)
    assert resumed == fold(log)


def test_an_adjudication_wins_over_the_majority_and_its_undo_gives_the_majority_back() -> None:
    votes = [decision(1, "A", "p", "x"), decision(2, "B", "p", "x"), decision(3, "C", "p", "y"), decision(4, "C", "p", "y", Kind.ADJUDICATION)]
    assert fold(votes).settled()["p"].label == "y"
    assert fold([*votes, decision(5, "C", "p", None, Kind.UNDO)]).settled() == {}
    assert fold(votes).disputed() == {"p"}


def write_log(out: Path, *said: tuple[str, str, str | None, Kind]) -> None:
    digests = read_dataset(out).text_digests
    with open_log(out) as log:
        for who, record_id, label, kind in said:
            log.append(kind=kind, record_id=record_id, text_sha256=digests[record_id], reviewer=who, label=label)


def test_the_majority_of_the_reviewers_is_the_vote_of_people_and_a_tie_is_none(tmp_path: Path) -> None:
    out = write_dataset(tmp_path)
    vote, settle = Kind.VOTE, Kind.ADJUDICATION
    write_log(
        out,
        *(("Ana", "a1", "positive", vote), ("Bo", "a1", "positive", vote), ("Cy", "a1", "neutral", vote)),
        *(("Ana", "b2", "neutral", vote), ("Bo", "b2", "negative", vote)),
        *(("Ana", "c3", "neutral", vote), ("Bo", "c3", "positive", vote), ("Cy", "c3", "positive", settle)),
        ("Ana", "d4", None, vote),
    )
    found = reviewed(out)
    assert (found["a1"].label, found["a1"].by, found["a1"].agreement) == ("positive", ("Ana", "Bo", "Cy"), 2 / 3)
    assert (found["b2"].label, found["b2"].agreement) == (None, 0.5)
    assert (found["c3"].label, found["c3"].by, found["c3"].settled) == ("positive", ("Cy",), True)
    assert "d4" not in found
    assert people_votes(out / "reviews.jsonl") == {"a1": "positive", "c3": "positive"}


def test_a_decision_on_a_text_that_has_changed_does_not_stand(tmp_path: Path) -> None:
    out = write_dataset(tmp_path)
    write_log(out, ("Ana", "a1", "positive", Kind.VOTE))
    write_dataset(out, (("a1", "Another text.", "en", None, None, None, None, None),))
    assert reviewed(out) == {}


def test_a_torn_last_line_is_left_out_and_the_log_goes_on(tmp_path: Path) -> None:
    out = write_dataset(tmp_path)
    write_log(out, ("Ana", "a1", "positive", Kind.VOTE))
    with (out / "reviews.jsonl").open("ab") as stream:
        stream.write(b'{"record_id": "b2", "te')
    assert len(read_decisions(out / "reviews.jsonl")) == 1
    write_log(out, ("Ana", "b2", "neutral", Kind.VOTE))
    assert [(each.seq, each.record_id) for each in read_decisions(out / "reviews.jsonl")] == [(1, "a1"), (2, "b2")]


def test_a_line_in_the_middle_that_is_no_decision_is_named(tmp_path: Path) -> None:
    out = write_dataset(tmp_path)
    write_log(out, ("Ana", "a1", "positive", Kind.VOTE), ("Ana", "b2", "neutral", Kind.VOTE))
    path = out / "reviews.jsonl"
    first, second = path.read_text().splitlines()
    path.write_text("{}\n" + second + "\n")
    with pytest.raises(PipelineError, match=r"line 1: field `record_id`"):
        read_decisions(path)
    path.write_text(first + "\n" + first + "\n")
    with pytest.raises(PipelineError, match=r"line 2: field `seq` is 1, expected 2"):
        read_decisions(path)


def test_a_write_that_fails_leaves_the_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def full(handle: int, data: bytes) -> int:
        write(handle, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    log = ReviewLog(tmp_path / "reviews.jsonl")
    log.append(kind=Kind.VOTE, record_id="a1", text_sha256=DIGEST, reviewer="Ana", label="x")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(PipelineError, match="No space left"):
            log.append(kind=Kind.VOTE, record_id="b2", text_sha256=DIGEST, reviewer="Ana", label="x")
    log.append(kind=Kind.VOTE, record_id="c3", text_sha256=DIGEST, reviewer="Ana", label="x")
    log.close()
    assert [json.loads(line)["record_id"] for line in (tmp_path / "reviews.jsonl").read_text().splitlines()] == ["a1", "c3"]


def test_a_second_review_of_the_same_folder_is_refused(tmp_path: Path) -> None:
    with open_log(tmp_path), pytest.raises(PipelineError, match="open in another review"), open_log(tmp_path):
        pass


def test_records_come_by_lowest_probability_then_disagreement_then_id(tmp_path: Path) -> None:
    dataset = read_dataset(write_dataset(tmp_path))
    assert [item.record_id for item in dataset.items] == ["e5", "b2", "d4", "c3", "a1"]
    assert dataset.labels == ("positive", "neutral", "negative")


def test_without_metadata_the_labels_are_those_that_occur(tmp_path: Path) -> None:
    assert read_dataset(write_dataset(tmp_path, named=False)).labels == ("negative", "neutral", "positive")


def test_a_folder_without_a_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"has no labels\.parquet: run `stackproof label run`"):
        read_dataset(tmp_path)
