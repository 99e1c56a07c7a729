"""`stackproof apps eval` against the served model."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from certificates import Authority

from stack.apps.evidence import recompute
from stack.apps.transit.evaluation.figures import read_predictions
from stack.evidence import EvidenceStore
from stack.runtime.net import LOOPBACK, free_port
from stack.serving.session import Session

pytestmark = pytest.mark.slow


def stackproof(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "stack.cli.main", *arguments], capture_output=True, text=True, timeout=240, check=False)


def test_an_evaluation_scores_the_served_model_beside_the_baseline_and_its_record_holds(served: Session, tmp_path: Path) -> None:
    out, evidence = tmp_path / "out", tmp_path / "evidence"
    endpoint = ("--url", served.gateway_url, "--api-key-file", str(served.api_key_file))
    done = stackproof("apps", "eval", "transit", *endpoint, "--limit", "8", "--out", str(out), "--evidence", str(evidence), "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["model"] == served.model
    assert printed["figures"]["transit.questions"] == 8
    assert printed["figures"]["transit.invented_rate.model"] == 0
    assert printed["figures"]["transit.prompt_tokens"] > 0
    assert json.loads((out / "app_score.json").read_text())["figures"] == printed["figures"]
    predictions = read_predictions(out / "predictions.jsonl")
    # The model is small, but far from guessing: of two stops it tells the right one, or its two answers disagree.
    assert sum(each.model.slots.destination == each.question.gold.destination for each in predictions) >= 5
    (stored,) = EvidenceStore(evidence).verify()
    assert stored.record.kind == "app"
    assert recompute(stored) == [figure for figure in stored.record.figures if figure.derived_from]
    assert served.api_key_file.read_text().strip() not in done.stdout + done.stderr


def test_no_score_is_given_when_the_model_does_not_answer(tmp_path: Path) -> None:
    done = stackproof("apps", "eval", "transit", "--url", f"http://{LOOPBACK}:{free_port()}", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "does not answer" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_refused_key_is_told_in_one_line(served: Session, tmp_path: Path) -> None:
    done = stackproof("apps", "eval", "transit", "--url", served.gateway_url, "--out", str(tmp_path))
    assert done.returncode == 2
    assert "--api-key-file" in done.stderr
    assert "Traceback" not in done.stderr


class Answering(BaseHTTPRequestHandler):
    """A model that says the same to every question."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.reply({"data": [{"id": "tiny"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        choice = {"message": {"content": "{}"}, "finish_reason": "stop"}
        self.reply({"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})

    def reply(self, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def test_a_tls_endpoint_is_asked_by_the_authority_that_is_named(tmp_path: Path) -> None:
    authority = Authority.make(tmp_path, "site-ca")
    server = ThreadingHTTPServer((LOOPBACK, 0), Answering)
    server.socket = authority.serving(tmp_path).wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    asking = ("apps", "eval", "transit", "--url", f"https://{LOOPBACK}:{server.server_port}", "--limit", "4", "--out", str(tmp_path / "out"))
    try:
        done, stranger = stackproof(*asking, "--ca-file", str(authority.pem), "--json"), stackproof(*asking)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["figures"]["transit.questions"] == 4
    assert stranger.returncode == 2
    (line,) = stranger.stderr.splitlines()
    assert "certificate not trusted: unable to get local issuer certificate" in line
