"""The page through a real server, with a model that is up, down, or of a fixed opinion."""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from stack.apps.transit.web import EXAMPLES
from stack.runtime.net import LOOPBACK, free_port
from stack.runtime.process import Child
from stack.serving.session import Session

pytestmark = pytest.mark.slow


@contextmanager
def page_server(folder: Path, *options: str) -> Iterator[str]:
    """`stackproof apps serve transit` on a free port; yields its address."""
    port = free_port()
    command = [sys.executable, "-m", "stack.cli.main", "apps", "serve", "transit", "--port", str(port), *options]
    child = Child.start("page", command, log=folder / "page.log")
    url = f"http://{LOOPBACK}:{port}"
    try:
        child.wait_ready(lambda: _answers(url), timeout_s=60)
        yield url
    finally:
        child.stop()
    assert child.exit_status == 0
    # Questions are personal data: nothing of them is logged.
    assert "Stagecoach" not in (folder / "page.log").read_text()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5, verify=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


class OneOpinion(BaseHTTPRequestHandler):
    """A chat endpoint whose model names the same city whatever it is asked."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        choice = {"message": {"content": "Denver"}, "finish_reason": "stop"}
        body = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 2}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


def test_the_page_answers_with_the_model(served: Session, tmp_path: Path) -> None:
    with page_server(tmp_path, "--url", served.gateway_url, "--api-key-file", str(served.api_key_file)) as url:
        page = httpx.get(url, params={"question": EXAMPLES[0]}, timeout=60, verify=False)
        assert page.status_code == 200
        assert "07:30 to 09:20" in page.text
        assert httpx.get(f"{url}/healthz", verify=False).json()["model"] == served.model
        answer = httpx.post(f"{url}/api/answer", json={"question": EXAMPLES[0]}, timeout=60, verify=False).json()
    assert answer["notice"] == ""
    asked = [call for call in answer["tool_trace"] if call["tool"] == "model.choose_destination"]
    assert len(asked) == 2
    assert {call["result"] for call in asked} <= {"Oakland", "Denver"}


def test_the_page_goes_on_when_the_model_is_down_and_says_so(tmp_path: Path) -> None:
    with page_server(tmp_path, "--url", f"http://{LOOPBACK}:{free_port()}", "--model", "any") as url:
        page = httpx.get(url, params={"question": EXAMPLES[0]}, timeout=60, verify=False)
    assert page.status_code == 200
    assert "07:30 to 09:20" in page.text
    assert "The language model does not answer, so the question was read by rules alone." in page.text


def test_a_model_of_one_opinion_decides_nothing(tmp_path: Path) -> None:
    server = ThreadingHTTPServer((LOOPBACK, 0), OneOpinion)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        with page_server(tmp_path, "--url", f"http://{LOOPBACK}:{server.server_port}", "--model", "any") as url:
            answer = httpx.post(f"{url}/api/answer", json={"question": EXAMPLES[0]}, timeout=60, verify=False).json()
    finally:
        server.shutdown()
        server.server_close()
    assert [call["result"] for call in answer["tool_trace"][:2]] == ["Denver", "Denver"]
    assert answer["reader"] == "words"
    assert (answer["slots"]["origin"], answer["slots"]["destination"]) == ("STAGECOACH", "FUR_CREEK_RES")
