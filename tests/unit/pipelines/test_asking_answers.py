"""Answers kept on disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack.pipelines.errors import PipelineError
from stack.pipelines.labeling.answers import Answers
from stack.pipelines.labeling.replies import Reply

REPLY = Reply("ja\nnein \u2028 é", 12, 3)
KEYS = [f"{number:064x}" for number in range(4)]


def test_what_was_put_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "7.jsonl"
    with Answers(path) as answers:
        answers.put(KEYS[0], REPLY)
        answers.put(KEYS[0], Reply("another", 1, 1))
        assert answers.get(KEYS[0]) == REPLY
    with Answers(path) as answers:
        assert (answers.get(KEYS[0]), answers.get(KEYS[1]), len(answers)) == (REPLY, None, 1)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_bytes().splitlines()) == 1


@pytest.mark.parametrize("kept", [1, 20, 100])
def test_a_line_cut_short_is_skipped_and_does_not_spoil_the_next(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "7.jsonl"
    with Answers(path) as answers:
        answers.put(KEYS[0], REPLY)
        whole = path.stat().st_size
        answers.put(KEYS[1], REPLY)
    os.truncate(path, whole + kept)
    with Answers(path) as answers:
        assert (answers.get(KEYS[0]), answers.get(KEYS[1])) == (REPLY, None)
        answers.put(KEYS[2], REPLY)
    with Answers(path) as answers:
        assert (answers.get(KEYS[0]), answers.get(KEYS[1]), answers.get(KEYS[2])) == (REPLY, None, REPLY)


def test_lines_of_something_else_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "7.jsonl"
    path.write_bytes(b'\xff\xfe\n{"key": 1}\n[]\n{"key":"k","text":"t","prompt_tokens":1,"completion_tokens":1,"more":0}\n')
    with Answers(path) as answers:
        assert len(answers) == 0


def test_of_two_lines_with_one_key_the_first_counts(tmp_path: Path) -> None:
    """Two processes may have asked the same: what a finished shard may already hold must not change."""
    path = tmp_path / "7.jsonl"
    with Answers(path) as one, Answers(path) as other:
        one.put(KEYS[0], REPLY)
        other.put(KEYS[0], Reply("another", 1, 1))
    with Answers(path) as answers:
        assert answers.get(KEYS[0]) == REPLY
    assert len(path.read_bytes().splitlines()) == 2


def test_a_sync_is_due_after_many_answers_or_a_second(tmp_path: Path) -> None:
    now = [0.0]
    with Answers(tmp_path / "7.jsonl", clock=lambda: now[0]) as answers:
        now[0] = 10
        assert not answers.due, "nothing to sync"
        answers.put("a", REPLY)
        assert answers.due
        answers.sync()
        for number in range(64):
            assert not answers.due
            answers.put(f"key {number}", REPLY)
        assert answers.due


@pytest.mark.slow
def test_a_killed_process_loses_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "7.jsonl"
    code = f"""
import os, signal
from pathlib import Path
from stack.pipelines.labeling.answers import Answers
from stack.pipelines.labeling.replies import Reply
answers = Answers(Path({str(path)!r}))
for number in range(10):
    answers.put(str(number), Reply("yes", 1, 1))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == -9
    with Answers(path) as answers:
        assert len(answers) == 10


def test_a_folder_that_cannot_be_and_a_full_disk_are_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match=r"answers cannot be kept in .*file/7.jsonl: "):
        Answers(tmp_path / "file" / "7.jsonl")

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with Answers(tmp_path / "7.jsonl") as answers:
        monkeypatch.setattr("stack.pipelines.labeling.answers.os.write", full)
        with pytest.raises(PipelineError, match="No space left on device: make room"):
            answers.put(KEYS[0], REPLY)
        assert answers.get(KEYS[0]) is None
