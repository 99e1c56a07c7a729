import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from certificates import Authority
from dedup_kit import outcome, shards_of
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stack.pipelines.base import Work
from stack.pipelines.dedup import SemanticDedup, semantic
from stack.pipelines.dedup.semantic import first_alike
from stack.pipelines.errors import PipelineError
from stack.serving.errors import ServingError

MEANING = {"yes": [1.0, 0.1], "aye": [0.98, 0.12], "no": [0.0, 1.0]}


@contextmanager
def embedding(statuses: list[int], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The address of a server that embeds by MEANING, in reverse order; the statuses are answered first."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["content-length"])))
            data = [{"index": at, "embedding": MEANING[text]} for at, text in enumerate(body["input"])]
            self.send_response(statuses.pop(0) if statuses else 200)
            self.end_headers()
            self.wfile.write(json.dumps({"data": data[::-1]}).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[int]]]:
    statuses: list[int] = []
    with embedding(statuses) as url:
        yield url, statuses


def test_texts_that_are_spelt_alike_are_dropped() -> None:
    texts = ["the road to the harbour is closed", "lunch is at noon", "The road to the harbour is closed!"]
    drops, _ = outcome(SemanticDedup(), shards_of(texts, [1]))
    assert drops == {"r2": ("semantic_duplicate", "r0")}


def test_an_endpoints_vectors_decide_and_a_busy_answer_is_tried_again(endpoint: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    url, statuses = endpoint
    monkeypatch.setattr("stack.pipelines.dedup.embedders.time.sleep", lambda _: None)
    statuses[:] = [503, 429]
    drops, _ = outcome(SemanticDedup(embedder="endpoint", url=url, model="m"), shards_of(["yes", "no", "aye"], [0, 2]))
    assert drops == {"r2": ("semantic_duplicate", "r0")}


def test_a_refusing_endpoint_is_told_in_one_line(endpoint: tuple[str, list[int]]) -> None:
    url, statuses = endpoint
    statuses[:] = [401]
    with pytest.raises(PipelineError, match=r"field `url`: .* HTTP 401"):
        outcome(SemanticDedup(embedder="endpoint", url=url, model="m"), shards_of(["yes"]))


def test_an_endpoint_of_an_authority_of_its_own_is_asked_where_the_stage_names_it(tmp_path: Path) -> None:
    authority, work = Authority.make(tmp_path, "site-ca"), Work(tmp_path)
    fields = {"embedder": "endpoint", "model": "m"}
    with embedding([], authority.serving(tmp_path)) as url:
        trusting = SemanticDedup(url=url, ca_file="site-ca.pem", **fields)
        drops, _ = outcome(trusting, shards_of(["yes", "no", "aye"]), work)
        assert drops == {"r2": ("semantic_duplicate", "r0")}
        with pytest.raises(PipelineError, match=r"field `url`: .* did not answer: certificate not trusted: unable to get local issuer certificate"):
            outcome(SemanticDedup(url=url, **fields), shards_of(["yes"]), work)
        assert SemanticDedup(url=url, **fields).digest(work) == trusting.digest(work), "whom it trusts decides no vector"
    with pytest.raises(ServingError, match=r"CA file .*/none\.pem cannot be read"):
        outcome(SemanticDedup(url=url, ca_file="none.pem", **fields), shards_of(["yes"]), work)


@pytest.mark.parametrize("vector", [[float("nan"), 1.0], [], "no list", None])
def test_an_answer_that_holds_no_vectors_is_told_in_one_line(vector: object, endpoint: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MEANING, "aye", vector)
    with pytest.raises(PipelineError, match=r"field `url`: .*/v1/embeddings gave no list of embeddings of one length"):
        outcome(SemanticDedup(embedder="endpoint", url=endpoint[0], model="m"), shards_of(["yes", "aye"]))


def test_an_endpoint_without_its_address_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs `url` and `model`"):
        SemanticDedup(embedder="endpoint")


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(-127, 127), min_size=3, max_size=3), max_size=12), st.integers(1, 5))
def test_blocks_give_what_one_record_after_the_other_gives(rows: list[list[int]], block: int) -> None:
    vectors = np.array(rows, np.int8).reshape(-1, 3)
    expected: dict[int, int] = {}
    for at, mine in enumerate(vectors.astype(float)):
        for before, other in enumerate(vectors[:at].astype(float)):
            bar = 0.8 * (np.linalg.norm(mine) * np.linalg.norm(other))
            if before not in expected and bar > 0 and mine @ other >= bar:
                expected[at] = before
                break
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(semantic, "BLOCK", block)
        assert first_alike(vectors, 0.8) == expected


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.text("abc ", max_size=12), max_size=12), st.data())
def test_cuts_before_semantic_comparison_change_nothing(texts: list[str], data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(texts)), max_size=3))
    assert outcome(SemanticDedup(), shards_of(texts, cuts)) == outcome(SemanticDedup(), shards_of(texts))
