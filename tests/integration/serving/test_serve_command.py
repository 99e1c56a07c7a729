"""`stackproof serve` as a person or a script runs it: killed, restarted, broken, refused."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from stack.evidence import EvidenceStore
from stack.runtime.net import free_port
from stack.serving.evidence import recompute

pytestmark = pytest.mark.slow
STACKPROOF = [sys.executable, "-m", "stack.cli.main"]
COMMAND = [*STACKPROOF, "serve", "--enforce-eager"]


def wait_for(what: Callable[[], bool], *, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def processes_of(run_dir: Path) -> list[int]:
    """Live processes that have a file of the session open or on their command lines, and all below them."""
    found: set[int] = set()
    for process in psutil.process_iter():
        try:
            opened = [os.readlink(link) for link in Path(f"/proc/{process.pid}/fd").iterdir()]
            if any(name.startswith(f"{run_dir}/") for name in [*opened, *process.cmdline()]):
                found |= {each.pid for each in (process, *process.children(recursive=True)) if each.status() != psutil.STATUS_ZOMBIE}
        except (psutil.Error, OSError):
            continue
    return sorted(found - {os.getpid()})


@contextmanager
def serving(*arguments: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    with (folder / "stderr").open("a") as errors, subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=errors, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_killed_while_starting_it_leaves_nothing_and_a_dead_engine_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir, evidence, port = tmp_path / "run", tmp_path / "evidence", str(free_port())
    arguments = ("--port", port, "--run-dir", str(run_dir), "--json", "--evidence", str(evidence))
    log = run_dir / "engine.log"
    monkeypatch.setenv("STACKPROOF_SIGNING_KEY", str(tmp_path / "signing.pem"))

    with serving(*arguments, folder=tmp_path) as first:
        wait_for(lambda: log.exists() and "APIServer pid" in log.read_text(errors="replace"), timeout_s=60)
        assert len(processes_of(run_dir)) >= 2
        first.send_signal(signal.SIGKILL)
    wait_for(lambda: not processes_of(run_dir), timeout_s=40)

    with serving(*arguments, folder=tmp_path) as second:
        assert second.stdout is not None
        ready = json.loads(second.stdout.readline())
        assert set(ready) == {"gateway_url", "engine_url", "model", "api_key_file"}
        key = Path(ready["api_key_file"]).read_text().strip()
        body = {"model": ready["model"], "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
        answer = httpx.post(f"{ready['gateway_url']}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}, timeout=60)
        assert answer.json()["usage"]["completion_tokens"] == 2

        (engine,) = [pid for pid in processes_of(run_dir) if "VLLM::EngineCore" in psutil.Process(pid).cmdline()[0]]
        os.kill(engine, signal.SIGKILL)
        wait_for(lambda: not status(run_dir)["ready"], timeout_s=30)
        wait_for(lambda: engine_part(run_dir)["state"] == "starting", timeout_s=30)
        assert engine_part(run_dir)["restarts"] == 1
        assert engine_part(run_dir)["last_error"].startswith("engine ended with status")
        assert str(log) in engine_part(run_dir)["last_error"]

        taken = run_serve("--port", str(free_port()), "--run-dir", str(run_dir))
        assert (taken.returncode, taken.stderr.count("another session is served from here")) == (2, 1)
        stopped = subprocess.run([*STACKPROOF, "stop", "--run-dir", str(run_dir)], capture_output=True, text=True, timeout=60, check=False)
        assert (stopped.returncode, stopped.stderr) == (0, "")
        assert second.wait(timeout=30) == 0
    assert not processes_of(run_dir)
    assert not (run_dir / "api.key").exists()

    records = {stored.record.kind: stored for stored in EvidenceStore(evidence).verify()}
    assert set(records) == {"model", "serving"}
    for stored in records.values():
        assert recompute(stored) == [figure for figure in stored.record.figures if figure.derived_from]
    assert key not in "".join(path.read_text(errors="replace") for path in evidence.rglob("*") if path.is_file())


def test_stopped_while_it_starts_it_leaves_nothing(tmp_path: Path) -> None:
    run_dir, log = tmp_path / "run", tmp_path / "run" / "engine.log"
    with serving("--port", str(free_port()), "--run-dir", str(run_dir), folder=tmp_path) as process:
        wait_for(lambda: log.exists() and "APIServer pid" in log.read_text(errors="replace"), timeout_s=60)
        starting = status(run_dir)
        assert (starting["state"], starting["ready"], starting["pid"]) == ("starting", False, process.pid)
        stopped = subprocess.run([*STACKPROOF, "stop", "--run-dir", str(run_dir)], capture_output=True, text=True, timeout=60, check=False)
        assert (stopped.returncode, stopped.stderr) == (0, "")
        assert process.wait(timeout=30) == 130
    assert not processes_of(run_dir)
    assert not [name for name in ("api.key", "engine.key", "status.json") if (run_dir / name).exists()]
    assert "Traceback" not in (tmp_path / "stderr").read_text()


def status(run_dir: Path) -> dict[str, Any]:
    done = subprocess.run([*STACKPROOF, "status", "--json", "--run-dir", str(run_dir)], capture_output=True, text=True, timeout=30, check=False)
    found: dict[str, Any] = json.loads(done.stdout)[0]
    return found


def engine_part(run_dir: Path) -> dict[str, Any]:
    (part,) = [part for part in status(run_dir)["parts"] if part["kind"] == "engine"]
    return part


def run_serve(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **(env or {})})


@pytest.mark.parametrize("option", ["--port", "--engine-port"])
def test_a_taken_port_is_told_in_one_line_with_the_option_to_change(option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        others = () if option == "--port" else ("--port", str(free_port()))
        done = run_serve(option, str(port), *others)
    assert done.returncode == 2
    assert done.stderr == f"stackproof: port {port} on 127.0.0.1 is taken by another process: choose another with {option}\n"


def test_bad_input_is_told_in_one_line(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 2\n")
    port = ("--port", str(free_port()))
    for arguments, told in (
        (("--model", "gpt-9"), "stackproof: model 'gpt-9' is not in the catalog"),
        (("--policy", str(policy)), f"stackproof: {policy}: field `version`"),
        (("--max-model-len", "0"), "stackproof: --max-model-len: must be at least 1"),
    ):
        done = run_serve(*port, *arguments)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert done.stderr.startswith(told)


def test_a_changed_model_file_stops_the_start_and_is_named(served: object, tmp_path: Path) -> None:
    from stack.serving import CI_MODEL
    from stack.serving.weights import model_dir

    copy = tmp_path / "models" / CI_MODEL
    copy.mkdir(parents=True)
    for path in model_dir(CI_MODEL).iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[len(weights) // 2] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    env = {"STACKPROOF_CACHE": str(tmp_path)}
    done = run_serve("--port", str(free_port()), env=env)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "model.safetensors: content is not what was pulled" in done.stderr
