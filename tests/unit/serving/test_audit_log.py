import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from policy_client import policy_client

from stack.serving.audit_log import FIRST, AuditLog, Decision, verify_log
from stack.serving.decisions import Decider
from stack.serving.errors import ServingError
from stack.serving.keys import ApiKey, KeyRing, hash_key
from stack.serving.policy import load_policy
from stack.serving.policy_app import build_answerer
from stack.serving.tenants import RateClass


def decision(number: int) -> Decision:
    return Decision(f"id-{number}", "clinic", "POST /v1/completions", "m", "let through", 200, None, 12)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.jsonl"
    writer = AuditLog(path)
    for number in range(6):
        writer.write(decision(number))
    return path


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_every_line_names_its_place_and_the_digest_of_the_one_before(log: Path) -> None:
    entries = [json.loads(line) for line in lines(log)]
    assert [entry["sequence"] for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert [entry["previous"] for entry in entries] == [FIRST, *(entry["sha256"] for entry in entries[:-1])]
    assert (entries[0]["route"], entries[0]["tenant"], entries[0]["estimated_tokens"]) == ("POST /v1/completions", "clinic", 12)
    verdict = verify_log(log)
    assert (verdict.entries, verdict.faults, verdict.torn, verdict.last_sha256) == (6, (), False, entries[-1]["sha256"])
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_name_that_a_client_chose_stands_in_ascii_and_is_read_as_it_was(tmp_path: Path) -> None:
    AuditLog(tmp_path / "audit.jsonl").write(Decision("id", "clinic", "POST /v1/completions", "m\x9b31m\u202e\n", "refused", 400, "no", None))
    (line,) = lines(tmp_path / "audit.jsonl")
    assert line.isascii()
    assert json.loads(line)["model"] == "m\x9b31m\u202e\n"
    assert verify_log(tmp_path / "audit.jsonl").faults == ()


@pytest.mark.parametrize("number", range(6))
def test_a_changed_line_is_named_the_last_one_too(log: Path, number: int) -> None:
    found = lines(log)
    found[number] = found[number].replace(b"clinic", b"school")
    log.write_bytes(b"".join(found))
    assert verify_log(log).faults == (f"line {number + 1} was changed",)


def test_missing_lines_are_named_by_the_line_they_should_precede(log: Path) -> None:
    found = lines(log)
    log.write_bytes(b"".join(found[:2] + found[3:]))
    assert verify_log(log).faults == ("line 3: entry 3 is missing before it",)
    log.write_bytes(b"".join(found[3:]))
    assert verify_log(log).faults == ("line 1: entries 1 to 3 are missing before it",)


def test_lines_in_another_order_and_repeated_ones_are_named(log: Path) -> None:
    found = lines(log)
    log.write_bytes(b"".join([found[0], found[2], found[1], *found[3:]]))
    assert any("line 3: entry 2 is out of order" in fault for fault in verify_log(log).faults)
    log.write_bytes(b"".join([*found, found[2]]))
    assert verify_log(log).faults == ("line 7: entry 3 is out of order, 7 was expected",)


def test_a_line_of_another_log_in_the_right_place_is_named(log: Path, tmp_path: Path) -> None:
    other = AuditLog(tmp_path / "other.jsonl")
    for number in range(10, 16):
        other.write(decision(number))
    found = lines(log)
    found[3] = lines(tmp_path / "other.jsonl")[3]
    log.write_bytes(b"".join(found))
    assert verify_log(log).faults == ("line 4: the line before it was replaced, or this one", "line 5: the line before it was replaced, or this one")


def test_a_torn_last_line_is_no_fault_and_is_told_when_the_log_goes_on(log: Path) -> None:
    with log.open("ab") as file:
        file.write(b'{"sequence":7,"prev')
    assert (verify_log(log).faults, verify_log(log).torn, verify_log(log).entries) == ((), True, 6)
    AuditLog(log).write(decision(7))
    assert (verify_log(log).faults, verify_log(log).torn, verify_log(log).entries) == ((), False, 8)
    assert json.loads(lines(log)[6])["torn_bytes"] == 19


def test_a_log_goes_on_where_it_ended_but_not_behind_a_changed_line(log: Path) -> None:
    AuditLog(log).write(decision(6))
    assert (verify_log(log).entries, verify_log(log).faults) == (7, ())
    log.write_bytes(log.read_bytes().replace(b"id-6", b"id-9"))
    with pytest.raises(ServingError, match="last line was changed"):
        AuditLog(log)


def test_a_writer_that_is_killed_leaves_a_log_without_faults(tmp_path: Path) -> None:
    path = tmp_path / "killed.jsonl"
    code = (
        "import sys; from pathlib import Path; from stack.serving.audit_log import AuditLog, Decision\n"
        f"log = AuditLog(Path({str(path)!r}))\n"
        "for n in range(10**9):\n"
        "    log.write(Decision(str(n), 'clinic', 'POST /v1/completions', 'm', 'let through', 200, None, 12))\n"
        "    if n == 50: print('going', flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
    verdict = verify_log(path)
    assert verdict.entries > 50
    assert verdict.faults == ()
    AuditLog(path).write(decision(0))
    assert verify_log(path).faults == ()


def test_a_file_that_cannot_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="cannot be written"):
        AuditLog(tmp_path / "nowhere" / "audit.jsonl")
    with pytest.raises(ServingError, match="cannot be read"):
        verify_log(tmp_path / "none.jsonl")


def test_a_full_file_is_renamed_and_the_chain_goes_on_through_all_of_them(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    writer = AuditLog(log, most_bytes=1500)
    for number in range(20):
        writer.write(decision(number))
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["audit.jsonl", *(f"audit.jsonl.{number}" for number in range(1, len(files)))]
    assert len(files) > 3
    assert all(path.stat().st_size <= 1500 for path in tmp_path.iterdir())
    assert (verify_log(log).entries, verify_log(log).faults) == (20, ())

    AuditLog(log, most_bytes=1500).write(decision(20))
    assert (verify_log(log).entries, verify_log(log).faults) == (21, ())
    log.replace(tmp_path / "kept")  # as after a kill between renaming the file and opening a new one
    (tmp_path / "kept").rename(tmp_path / "audit.jsonl.0")
    for number in range(len(files) - 1, -1, -1):
        (tmp_path / f"audit.jsonl.{number}").rename(tmp_path / f"audit.jsonl.{number + 1}")
    AuditLog(log).write(decision(21))
    assert (verify_log(log).entries, verify_log(log).faults) == (22, ())


def test_a_renamed_file_that_was_changed_or_taken_away_is_told(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    writer = AuditLog(log, most_bytes=1500)
    for number in range(12):
        writer.write(decision(number))
    older = tmp_path / "audit.jsonl.1"
    text = older.read_bytes()
    older.write_bytes(text.replace(b"clinic", b"school", 1))
    assert verify_log(log).faults == ("audit.jsonl.1 line 1 was changed",)
    (tmp_path / "audit.jsonl.2").unlink()
    older.write_bytes(text)
    assert any("is missing before it" in fault or "are missing before it" in fault for fault in verify_log(log).faults)


def test_a_line_that_the_volume_has_no_room_for_leaves_no_half_behind_and_the_chain_goes_on_when_there_is(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, write, before = AuditLog(log), os.write, log.read_bytes()
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[: len(line) // 2]))
    with pytest.raises(ServingError, match=r"audit\.jsonl cannot be written: No space left"):
        writer.write(decision(6))
    assert log.read_bytes() == before
    monkeypatch.setattr(os, "write", write)
    writer.write(decision(7))
    verdict = verify_log(log)
    assert (verdict.entries, verdict.faults) == (7, ())


def fails(file: int, line: bytes) -> int:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_write_that_fails_is_an_error_of_one_line(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = AuditLog(log)
    monkeypatch.setattr(os, "write", fails)
    with pytest.raises(ServingError, match="cannot be written: Input/output error"):
        writer.write(decision(6))


def test_a_decision_that_cannot_be_told_lets_nothing_through_and_gives_its_slot_and_tokens_back(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = RateClass(concurrent_requests=1, tokens_per_minute=5000)
    policy = load_policy().model_copy(update={"classes": {"default": limits}})
    ring, write = KeyRing((ApiKey(tenant="clinic", sha256=hash_key("sp-client")),)), os.write
    client = policy_client(build_answerer(Decider(policy, ring, "sp-engine", audit=AuditLog(log))))
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3000}

    def ask(number: int) -> int:
        headers = {"authorization": "Bearer sp-client", "x-request-id": str(number)}
        return client.post("/v1/chat/completions", json=body, headers=headers).status_code

    monkeypatch.setattr(os, "write", fails)
    assert [ask(number) for number in range(3)] == [503, 503, 503]
    monkeypatch.setattr(os, "write", write)
    assert [ask(3), ask(4)] == [200, 429]
