"""The review page as people use it: a real browser, a keyboard, and a server that is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from chromium_pipe import CHROMIUM, Browser, chromium
from review_rows import write_rows

from stack.pipelines.review import people_votes, read_decisions
from stack.runtime.net import LOOPBACK, free_port

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]

SERVE = """
import sys
from pathlib import Path
from stack.pipelines.review import serve_review
serve_review(Path(sys.argv[1]), port=int(sys.argv[2]), guidelines="*Be fair*", say=print)
"""
SHOWN = "document.getElementById('record').textContent"


class Server:
    """`label review` in a process of its own, always at one address."""

    def __init__(self, out: Path) -> None:
        self.out, self.port = out, free_port()
        self.url = f"http://{LOOPBACK}:{self.port}/"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", SERVE, str(self.out), str(self.port)])
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(self.url, timeout=5).raise_for_status()
                return
            except httpx.TransportError:
                assert self.process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(write_rows(tmp_path / "out"))
    yield server
    if server.process.poll() is None:
        server.kill()


@pytest.fixture
def browser(tmp_path: Path, server: Server) -> Iterator[Browser]:
    with chromium(tmp_path / "profile") as browser:
        browser.open(server.url)
        browser.wait("document.querySelector('#name-dialog[open]')")
        browser.type("Ana")
        browser.press("Enter")
        browser.wait(f"{SHOWN} === 'first'")
        yield browser


def test_three_records_are_labeled_by_keyboard_and_a_killed_server_loses_none(browser: Browser, server: Server) -> None:
    browser.press("1")
    browser.wait(f"{SHOWN} === 'الثاني'")
    browser.press("2")
    browser.wait(f"{SHOWN} === '<b>third</b>'")
    server.kill()
    assert people_votes(server.out / "reviews.jsonl") == {"r1": "yes", "r2": "no"}

    browser.press("1")
    browser.wait("!document.getElementById('fault').hidden")
    assert browser.value(SHOWN) == "<b>third</b>"
    server.start()
    browser.press("1")  # the page takes the new server's token by itself
    browser.wait(f"{SHOWN} === 'fourth'")
    assert browser.value("document.getElementById('fault').hidden")
    assert people_votes(server.out / "reviews.jsonl") == {"r1": "yes", "r2": "no", "r3": "yes"}

    browser.press("u")
    browser.wait(f"{SHOWN} === '<b>third</b>'")
    assert people_votes(server.out / "reviews.jsonl") == {"r1": "yes", "r2": "no"}
    assert [each.kind for each in read_decisions(server.out / "reviews.jsonl")] == ["vote", "vote", "vote", "undo"]


def test_arabic_is_set_from_the_right_and_markup_in_a_record_stays_text(browser: Browser) -> None:
    direction = "getComputedStyle(document.getElementById('record')).direction"
    assert browser.value(direction) == "ltr"
    browser.press("ArrowRight")
    browser.wait(f"{SHOWN} === 'الثاني'")
    assert browser.value(direction) == "rtl"
    assert browser.value("document.getElementById('record').lang") == "ar"
    browser.press("ArrowRight")
    browser.wait(f"{SHOWN} === '<b>third</b>'")
    assert browser.value("document.querySelectorAll('#record *').length") == 0


def test_two_reviewers_who_differ_are_settled_by_a_third(browser: Browser, server: Server) -> None:
    votes = "document.getElementById('votes').textContent"
    assert browser.value(votes) == "Hidden until you have voted."
    browser.press("1")
    browser.wait(f"{SHOWN} === 'الثاني'")
    browser.press("ArrowLeft")
    browser.wait(f"{votes}.includes('combined')")
    for name, key in (("Bo", "2"), ("Cy", "a")):
        browser.value(f"localStorage.setItem('reviewer', '{name}'); location.reload()")
        browser.wait(f"document.getElementById('who')?.textContent === '{name}' && {SHOWN} === 'first'")
        browser.press(key)
    browser.wait("document.getElementById('people').innerText.includes('Ana')")
    browser.press("2")
    browser.wait(f"{SHOWN}.startsWith('No disputes')")
    assert people_votes(server.out / "reviews.jsonl") == {"r1": "no"}


def test_the_page_fits_a_phone_names_every_control_and_breaks_no_policy(browser: Browser) -> None:
    browser.size(360, 740, phone=True)
    assert browser.value("document.documentElement.scrollWidth") <= 360
    small = "[...document.querySelectorAll('main button')].filter(b => b.getBoundingClientRect().height < 32).map(b => b.id)"
    assert browser.value(small) == []
    unnamed = (
        "[...document.querySelectorAll('button, input')].filter(e => !e.textContent.trim() && !e.labels?.length && !e.getAttribute('aria-labelledby')).length"
    )
    assert browser.value(unnamed) == 0
    browser.press("?")
    browser.wait("document.querySelector('#help-dialog[open]')?.contains(document.activeElement)")
    browser.press("1")  # a key in a dialog decides nothing
    browser.press("Escape")
    browser.wait("!document.querySelector('dialog[open]')")
    assert browser.value(SHOWN) == "first"
    assert browser.console == []
