"""`stackproof label run` as a user meets it: killed, interrupted, started again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from chat_server import KEY, ChatServer
from labeling_notes import TEXTS, committed, dataset

from stack.pipelines import LocalExecutor, find_endpoint, load_pipeline, run_pipeline

pytestmark = pytest.mark.slow

WAIT_S = 60.0
IN_FLIGHT = 8
"""The labeler's concurrency, over all workers."""


def start(notes: Path, out: Path, url: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "stack.cli.main", "label", "run", str(notes), "--url", url, "--api-key-file", str(notes.parent / "key"), "--out", str(out)]
    return subprocess.Popen([*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(what: str, holds: object) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_cut_short_leaves_no_process_and_goes_on_with_the_same_bytes(notes: Path, tmp_path: Path, number: signal.Signals) -> None:
    out, pipeline = tmp_path / "out", load_pipeline(str(notes))
    with ChatServer(delay_s=0.1).running() as server:
        process = start(notes, out, server.url)
        until("two shards are committed", lambda: len(committed(out)) >= 2 or process.poll() is not None)
        assert process.poll() is None
        tree = psutil.Process(process.pid).children(recursive=True)
        assert any("raylet" in each.name() for each in tree)
        assert not [each.cmdline() for each in tree if KEY in " ".join(each.cmdline())]
        os.kill(process.pid, number)
        _, errors = process.communicate(timeout=WAIT_S)
        if number == signal.SIGINT:
            assert process.returncode == 130, errors
            assert "Traceback" not in errors
        _, alive = psutil.wait_procs(tree, timeout=WAIT_S)
        assert alive == []
        paid = {TEXTS[6 * shard + place] for shard in committed(out) for place in range(6)}
        before = dict(server.asked)
        done = run_pipeline(pipeline, out, executor=LocalExecutor(), endpoint=find_endpoint(server.url, api_key_file=tmp_path / "key"))
        assert {text: server.asked[text] for text in paid} == dict.fromkeys(paid, 1)
        # Answers that had come when the run ended were kept, shard by shard or one by one: only those on their way were asked for again.
        again = {text: count for text, count in server.asked.items() if count > 1}
        assert set(again.values()) <= {2}
        assert len(again) <= IN_FLIGHT
        assert sum(server.asked.values()) == 60 + len(again) >= sum(before.values())
        assert done.labeled == 60 - len(paid)
        clean = run_pipeline(pipeline, tmp_path / "clean", executor=LocalExecutor(), endpoint=find_endpoint(server.url, api_key_file=tmp_path / "key"))
    assert dataset(out) == dataset(clean.out)
    assert sorted(path.name for path in (out / "work" / "label").glob("shard-*")) == [f"shard-{index:05d}" for index in range(10)]
