"""The gateway alone, before an engine that somebody else runs: `stackproof serve --engine-url`."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from stack.runtime.net import free_port
from stack.serving.errors import PartEndedError, ServingError
from stack.serving.in_front import engine_address, serve_in_front
from stack.serving.policy import load_policy

pytestmark = pytest.mark.slow
KEY = "of-the-engine"
BODY = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}


@pytest.fixture
def engine_url() -> Iterator[str]:
    """A server that wants a key and answers with the path that it was asked at."""

    class Engine(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = json.dumps({"path": self.path}).encode()
            self.send_response(200 if self.headers["authorization"] == f"Bearer {KEY}" else 401)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Engine) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def key_file(folder: Path, key: str = KEY) -> Path:
    (folder / "key").write_text(key + "\n")
    return folder / "key"


def test_clients_send_a_key_of_the_gateway_and_the_engine_gets_its_own(engine_url: str, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    with serve_in_front(engine_url, "m", load_policy(), engine_key=key_file(tmp_path), run_dir=run_dir) as served:
        key = served.api_key_file.read_text().strip()
        url = f"{served.gateway_url}/v1/chat/completions"
        answer = httpx.post(url, json=BODY, headers={"authorization": f"Bearer {key}"}, timeout=10)
        assert (answer.status_code, answer.json()) == (200, {"path": "/v1/chat/completions"})
        assert httpx.post(url, json=BODY, headers={"authorization": f"Bearer {KEY}"}, timeout=10).status_code == 401
        served.check()
        served.gateway.policy_service.stop()
        with pytest.raises(PartEndedError, match="policy service ended"):
            served.check()
    assert not {"api.key", "engine.key"} & {path.name for path in run_dir.iterdir()}


def test_an_engine_that_refuses_the_first_prompt_or_an_empty_key_is_told_in_one_line(engine_url: str, tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="did not complete a first prompt: HTTP 401"), serve_in_front(engine_url, "m", load_policy(), run_dir=tmp_path):
        pass
    with pytest.raises(ServingError, match="holds no key"), serve_in_front(engine_url, "m", load_policy(), engine_key=key_file(tmp_path, ""), run_dir=tmp_path):
        pass
    assert not (tmp_path / "api.key").exists()


@pytest.mark.parametrize("url", ["http://x", "https://h:1", "http://h:1/v1", "http://h:x", "http://u:p@h:1", "http://[::1]:1", "h:1", "http://h:1?a"])
def test_an_address_that_is_more_or_less_than_host_and_port_is_refused(url: str) -> None:
    with pytest.raises(ServingError, match="must be http://HOST:PORT"):
        engine_address(url)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--engine-url", "http://h:1", "--replicas", "2", "--enforce-eager"), "leave --replicas, --enforce-eager out"),
        (("--engine-key", "key"), "--engine-key: goes with --engine-url"),
        (("--engine-url", "http://h:1", "--engine-key", "missing"), "missing cannot be read"),
    ],
)
def test_options_that_do_not_go_together_are_refused_by_name(options: tuple[str, ...], told: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stack.cli.main", "serve", *options, "--port", str(free_port()), "--run-dir", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
