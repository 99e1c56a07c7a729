"""Locust's page during `stackproof bench users --web`: what it shows, what it must not show, and how it ends."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import StartMock  # type: ignore[import-not-found]

from stack.runtime.net import free_port

pytestmark = [pytest.mark.slow, pytest.mark.skipif(importlib.util.find_spec("locust") is None, reason="needs the users extra")]

SCENARIO = """
model: mock
users: 3
spawn_rate: 20
duration_s: 5
classes: [{name: asker, journey: [{name: open, say: hello, max_tokens: 8, think_s: 0.05}]}]
"""


class Page:
    """A run with its page, and what the page answers."""

    def __init__(self, place: Path, url: str, *arguments: str) -> None:
        self.at = f"http://127.0.0.1:{(port := free_port())}"
        command = [sys.executable, "-m", "stack.cli.main", "bench", "users", "desk.yaml", "--url", url, "--web", "--web-port", str(port), *arguments]
        self.run = subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.at + path, timeout=10) as answer:
            text: str = answer.read().decode()
        return text

    def post(self, path: str, **fields: object) -> dict[str, Any]:
        with urllib.request.urlopen(self.at + path, data=urllib.parse.urlencode(fields).encode(), timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/stats/requests"))
        return found

    def wait_for(self, condition: Callable[[], object], timeout_s: float = 90) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            assert self.run.poll() is None, self.run.communicate()
            try:
                if condition():
                    return
            except OSError:  # not listening yet
                pass
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def interrupt(self) -> tuple[str, str]:
        os.kill(self.run.pid, signal.SIGINT)
        return self.run.communicate(timeout=60)


@pytest.fixture
def open_page(tmp_path: Path, start_mock: StartMock) -> Iterator[Callable[..., Page]]:
    (tmp_path / "desk.yaml").write_text(SCENARIO)
    (tmp_path / "key").write_text("sesame-open\n")
    mock = start_mock("--api-key-file", str(tmp_path / "key"))
    pages: list[Page] = []

    def start(*arguments: str) -> Page:
        pages.append(Page(tmp_path, mock.url, "--api-key-file", "key", *arguments))
        pages[-1].wait_for(lambda: json.loads(pages[-1].get("/worker-count"))["worker_count"] == 1)
        return pages[-1]

    yield start
    for page in pages:
        page.run.kill()
        page.run.communicate()


def test_the_page_counts_each_request_once_shows_its_parts_and_keeps_the_key(open_page: Callable[..., Page]) -> None:
    page = open_page("--json")
    shown = page.post("/swarm", user_count=1, spawn_rate=1, host="http://elsewhere.example")
    assert shown["success"]
    page.wait_for(lambda: {each["method"] for each in page.stats()["stats"]} >= {"E2E", "TTFT", "TPOT"})
    texts = [page.get(path) for path in ("/", "/logs", "/exceptions", "/tasks", "/stats/requests")]
    assert not [text for text in texts if "sesame-open" in text]
    assert "elsewhere.example" not in texts[0]

    page.wait_for(lambda: page.stats()["state"] == "stopped")
    counted = {each["method"]: each["num_requests"] for each in page.stats()["stats"] if each["name"] == "asker/open"}
    (total,) = [each["num_requests"] for each in page.stats()["stats"] if each["name"] == "Aggregated"]
    assert counted["E2E"] == counted["TTFT"] == counted["TPOT"] == total
    output, errors = page.interrupt()
    summary = json.loads(output)
    assert summary["state"] == "complete"
    assert summary["requests"]["ok"] == total
    assert summary["users"] == 3
    assert page.run.returncode == (0 if summary["valid"] else 1)
    assert "sesame-open" not in output + errors


def test_ctrl_c_during_a_test_keeps_it_and_before_one_there_is_nothing_to_keep(open_page: Callable[..., Page]) -> None:
    page = open_page("--json", "--out", "cut")
    page.post("/swarm", user_count=1, spawn_rate=1)
    page.wait_for(lambda: page.stats()["stats"][-1]["num_requests"] >= 5)
    output, _ = page.interrupt()
    assert json.loads(output)["state"] == "interrupted"
    assert json.loads(output)["requests"]["ok"] >= 5
    assert page.run.returncode == 130
    page = open_page("--json", "--out", "nothing")
    output, errors = page.interrupt()
    assert (page.run.returncode, output) == (130, "")
    assert "Traceback" not in errors
