import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from dedup_kit import outcome, shards_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stack.pipelines.dedup import SemanticDedup, semantic
from stack.pipelines.dedup.semantic import first_alike
from stack.pipelines.errors import PipelineError

MEANING = {"yes": [1.0, 0.1], "aye": [0.98, 0.12], "no": [0.0, 1.0]}


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[int]]]:
    """Embeds by MEANING, in reverse order; the statuses in the list are answered first."""
    statuses: list[int] = []

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
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", statuses
    server.shutdown()
    thread.join()
    server.server_close()


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


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text("abc ", max_size=12), max_size=12), st.data())
def test_cuts_before_semantic_comparison_change_nothing(texts: list[str], data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(texts)), max_size=3))
    assert outcome(SemanticDedup(), shards_of(texts, cuts)) == outcome(SemanticDedup(), shards_of(texts))
