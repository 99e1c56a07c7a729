"""The installed engine's own reader of media, with the list of hosts that every plan gives it: defence behind the gateway, which lets no media through."""

import http.server
import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from stack.serving.plan.arguments import NO_HOST

pytestmark = [pytest.mark.slow, pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="the engine is not installed")]
FETCH = """
import json, sys
from vllm.multimodal.media.connector import MediaConnector
hosts, urls = json.load(sys.stdin)
connector, told = MediaConnector(allowed_media_domains=hosts), {}
for url in urls:
    try:
        connector.fetch_image(url)
        told[url] = "fetched"
    except Exception as error:
        told[url] = f"{type(error).__name__}: {error}"
print("RESULT" + json.dumps(told))
"""


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A server of this machine that nobody is to ask, and what it was asked."""
    paths: list[str] = []

    class Canary(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Canary) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", paths
        server.shutdown()


def fetch(hosts: list[str], urls: list[str]) -> dict[str, str]:
    done = subprocess.run([sys.executable, "-c", FETCH], input=json.dumps([hosts, urls]), capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, str] = json.loads(done.stdout.partition("RESULT")[2])
    return found


def test_the_engine_fetches_from_no_host_whatever_a_request_names(asked: tuple[str, list[str]]) -> None:
    place, paths = asked
    urls = [
        f"http://{place}/a",
        f"http://{NO_HOST}@{place}/b",
        f"http://{place}\\@{NO_HOST}/c",
        f"http://{place}#@{NO_HOST}/d",
        f"HTTP://{place}/e",
        "file:///etc/passwd",
    ]
    told = fetch([NO_HOST], urls)
    assert "fetched" not in told.values()
    assert "must be from one of the allowed domains" in told[urls[0]]
    assert not paths
    # Without the list it would: what was tried reaches the server.
    fetch([], urls[:1])
    assert paths == ["/a"]
