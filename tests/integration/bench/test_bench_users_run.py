"""`stackproof bench users` against the reference server: counts, truth, journeys, failures, signals, workers elsewhere."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Mock, StartMock  # type: ignore[import-not-found]

from bench.users.evidence import recompute
from bench.users.plan import journey_turns
from bench.users.rows import USERS, Rows, read_rows
from stack.evidence import EvidenceStore
from stack.runtime.net import free_port

# Found, not imported: importing Locust would patch the standard library of the test process.
pytestmark = [pytest.mark.slow, pytest.mark.skipif(importlib.util.find_spec("locust") is None, reason="needs the users extra")]

STACKPROOF = [sys.executable, "-m", "stack.cli.main", "bench", "users"]
SCENARIO = """
model: mock
users: 4
spawn_rate: 20
duration_s: 2
slo: {ttft_ms: 1000, tpot_ms: 500}
timeout_s: 30
classes:
  - name: asker
    weight: 3
    journey:
      - {name: open, say: [hello there, good day to you], max_tokens: 8, think_s: [0.01, 0.1]}
      - {name: more, say: tell me more, max_tokens: 16, think_s: 0.05, repeat: 2}
  - name: looker
    journey:
      - {name: look, say: when, max_tokens: 4, think_s: 0.1}
"""
ENDLESS = SCENARIO.replace("duration_s: 2", "duration_s: 600")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run in, with the scenario, and keys of its own."""
    (tmp_path / "desk.yaml").write_text(SCENARIO)
    monkeypatch.setenv("STACKPROOF_CONFIG", str(tmp_path / "config"))
    return tmp_path


def users(place: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*STACKPROOF, "desk.yaml", "--url", url, *arguments], check=False, cwd=place, capture_output=True, text=True, timeout=120)


def start_users(place: Path, url: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*STACKPROOF, "desk.yaml", "--url", url, *arguments], cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], object], *, running: "subprocess.Popen[str] | None" = None, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert running is None or running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answered(mock: Mock, count: int) -> Callable[[], bool]:
    return lambda: mock.log.exists() and mock.log.read_text().count("\n") >= count


def descendants(pid: int) -> list[int]:
    from stack.runtime.guardian import descendants as below

    return list(below(pid))


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text()]


def told(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    """The summary; whether this machine's event loop was on time is not what a test can depend on."""
    assert done.returncode in (0, 1), done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if summary["valid"] else 1)
    assert all(reason.startswith("client-bound") for reason in summary["invalid_reasons"])
    return summary


@pytest.mark.parametrize("workers", [1, 2])
def test_every_request_is_counted_timed_and_part_of_its_conversation(place: Path, start_mock: StartMock, workers: int) -> None:
    mock = start_mock("--ttft-ms", "30", "--token-interval-ms", "4")
    done = users(place, mock.url, "--json", "--seed", "5", "--workers", str(workers), "--out", "here", "--evidence", "evidence")
    summary, rows = told(done), read_rows(place / "here" / USERS)
    table = rows.table.to_pylist()

    assert summary["requests"]["sent"] == summary["requests"]["ok"] == len(table) == len(mock.truth()) >= 40
    assert sum(step["requests"]["ok"] for step in summary["steps"]) == len(table)
    assert {row["worker"] for row in table} == {f"worker-{place}" for place in range(workers)}
    assert {(row["class"], row["user"]) for row in table} == {("asker", 0), ("asker", 1), ("asker", 2), ("looker", 0)}
    assert summary["users"] == 4
    assert summary["goodput"]["good"] == len(table)

    _check_times(rows, mock)
    _check_conversations(rows)
    (stored,) = list(EvidenceStore(place / "evidence").verify())
    assert stored.record.kind == "users"
    assert tuple(recompute(stored)) == stored.record.figures


def _check_times(rows: Rows, mock: Mock) -> None:
    """No content is seen before the server wrote it, and on average not much after."""
    truth, late_ms = mock.truth(), []
    for row in rows.table.to_pylist():
        emitted = truth[row["request_id"]]["emitted_ns"]
        first, last = row["first_content_ns"] + rows.run.started_ns, row["last_content_ns"] + rows.run.started_ns
        assert first >= emitted[0]
        assert last >= emitted[-1]
        assert row["sent_ns"] + rows.run.started_ns <= truth[row["request_id"]]["received_ns"]
        late_ms.append((first - emitted[0]) / 1e6)
    assert sum(late_ms) / len(late_ms) < 50


def _check_conversations(rows: Rows) -> None:
    """The server counts the words of all messages: what was said before, its own answers, and what the seed makes this user say now."""
    scenario = rows.run.scenario
    classes = {each.name: each for each in scenario.classes}
    for row in rows.table.to_pylist():
        turns = journey_turns(scenario, classes[row["class"]], seed=5, user=row["user"], journey=row["journey"])
        before, now = turns[: row["turn"]], turns[row["turn"]]
        assert row["step"] == now.step
        assert row["completion_tokens"] == now.max_tokens
        assert row["prompt_tokens"] == sum(len(turn.text.split()) + turn.max_tokens for turn in before) + len(now.text.split())


def test_users_who_leave_and_the_end_of_a_run_break_off_no_answer(place: Path, start_mock: StartMock) -> None:
    stages = "stages: [{users: 6, spawn_rate: 20, duration_s: 2}, {users: 1, spawn_rate: 20, duration_s: 2}]"
    (place / "desk.yaml").write_text(SCENARIO.replace("users: 4\nspawn_rate: 20\nduration_s: 2", stages))
    summary = told(users(place, start_mock("--ttft-ms", "300").url, "--json", "--out", "here"))
    assert summary["requests"]["cancelled"] == 0
    assert summary["requests"]["sent"] == summary["requests"]["ok"]
    sent_s = [row["sent_ns"] / 1e9 for row in read_rows(place / "here" / USERS).table.to_pylist()]
    assert max(sent_s) < 4.1
    by_one = {row["user"] for row in read_rows(place / "here" / USERS).table.to_pylist() if row["sent_ns"] / 1e9 > 3}
    assert len(by_one) == 1


def test_answers_that_break_off_are_failures_of_their_class(place: Path, start_mock: StartMock) -> None:
    done = users(place, start_mock("--fault", "die").url)
    assert done.returncode == 1
    assert "truncated" in done.stdout
    assert "INVALID: no request succeeded" in done.stdout
    assert "journeys: 0 of" in done.stdout


def test_a_key_comes_from_its_file_and_goes_nowhere_but_to_the_endpoint(place: Path, start_mock: StartMock) -> None:
    (place / "key").write_text("sesame-open\n")
    mock = start_mock("--api-key-file", str(place / "key"))
    refused = users(place, mock.url)
    assert refused.returncode == 2
    assert "http_401" in refused.stderr.splitlines()[-1]
    assert "--api-key-file" in refused.stderr.splitlines()[-1]
    running = start_users(place, mock.url, "--api-key-file", "key", "--json")
    wait_for(answered(mock, 1), running=running)
    for pid in descendants(running.pid):
        assert b"sesame-open" not in Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
    output, errors = running.communicate(timeout=60)
    assert json.loads(output)["requests"]["ok"] == len(mock.truth())
    assert "sesame-open" not in output + errors
    assert not [path for path in place.rglob("*") if path.is_file() and path.name != "key" and b"sesame-open" in path.read_bytes()]


def test_an_endpoint_that_cannot_be_reached_is_one_line_and_status_2(place: Path) -> None:
    done = users(place, f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "cannot connect" in done.stderr


def test_a_mistake_in_the_scenario_is_one_line_and_status_2(place: Path) -> None:
    (place / "desk.yaml").write_text(SCENARIO.replace("users: 4", "users: -4"))
    done = users(place, "http://127.0.0.1:1")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "field `users`" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_was_measured_and_leaves_no_process(place: Path, start_mock: StartMock, number: signal.Signals) -> None:
    busy = ENDLESS.replace("[0.01, 0.1]", "0").replace("think_s: 0.05", "think_s: 0").replace("think_s: 0.1", "think_s: 0")
    (place / "desk.yaml").write_text(busy)
    mock = start_mock("--ttft-ms", "300")
    running = start_users(place, mock.url, "--json", "--out", "cut", "--workers", "2")
    wait_for(answered(mock, 10), running=running)
    children = descendants(running.pid)
    os.kill(running.pid, number)
    output, _ = running.communicate(timeout=60)
    summary = json.loads(output)
    assert running.returncode == 130
    assert (summary["state"], summary["valid"]) == ("interrupted", False)
    assert summary["requests"]["ok"] >= 10
    assert summary["requests"]["cancelled"] >= 1
    assert summary["lost_workers"] == []
    assert read_rows(place / "cut" / USERS).table.num_rows == summary["requests"]["sent"]
    assert len(children) >= 6
    assert not alive(children)


def test_sigkill_of_the_command_leaves_no_process(place: Path, start_mock: StartMock) -> None:
    (place / "desk.yaml").write_text(ENDLESS)
    mock = start_mock()
    running = start_users(place, mock.url)
    wait_for(answered(mock, 5), running=running)
    children = descendants(running.pid)
    assert len(children) >= 4
    running.kill()
    running.communicate(timeout=30)
    wait_for(lambda: not alive(children))


def test_a_worker_that_dies_is_told_and_counted_and_its_rows_are_kept(place: Path, start_mock: StartMock) -> None:
    (place / "desk.yaml").write_text(SCENARIO.replace("duration_s: 2", "duration_s: 6"))
    mock = start_mock()
    running = start_users(place, mock.url, "--json", "--out", "here", "--workers", "2")
    wait_for(answered(mock, 40), running=running)
    variable = b"STACKPROOF_USERS_WORKER=worker-1\0"
    (victim,) = [pid for pid in descendants(running.pid) if variable in Path(f"/proc/{pid}/environ").read_bytes() and _is_locust(pid)]
    os.kill(victim, signal.SIGKILL)
    output, errors = running.communicate(timeout=60)
    summary = json.loads(output)
    assert running.returncode == 1
    assert summary["lost_workers"] == ["worker-1"]
    assert "worker worker-1 was lost, and its users with it" in summary["invalid_reasons"]
    assert "worker-1 is lost" in errors
    assert {row["worker"] for row in read_rows(place / "here" / USERS).table.to_pylist()} == {"worker-0", "worker-1"}


def _is_locust(pid: int) -> bool:
    return b"guardian.py" not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_workers_started_elsewhere_work_for_the_master_and_a_stranger_is_sent_away(place: Path, start_mock: StartMock) -> None:
    mock, at = start_mock(), f"127.0.0.1:{free_port()}"
    (place / "other.yaml").write_text(SCENARIO.replace("tell me more", "tell me less"))
    master = start_users(place, mock.url, "--workers", "0", "--expect-workers", "2", "--master-bind", at, "--json", "--out", "here")
    workers = [
        subprocess.Popen([*STACKPROOF, name, "--url", mock.url, "--worker", "--master-host", at, "--out", f"w-{name}"], cwd=place, stderr=subprocess.DEVNULL)
        for name in ("desk.yaml", "other.yaml")
    ]
    output, _ = master.communicate(timeout=120)
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0]
    summary = json.loads(output)
    assert master.returncode == 1
    assert summary["requests"]["ok"] == len(mock.truth())
    (lost,) = summary["lost_workers"]
    assert "it runs another scenario" in lost
    (worker,) = {row["worker"] for row in read_rows(place / "here" / USERS).table.to_pylist()}
    assert str(workers[0].pid) in worker
