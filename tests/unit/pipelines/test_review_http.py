"""The review page's JSON interface and its guards."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from review_kit import write_dataset
from starlette.testclient import TestClient

from stack.pipelines.errors import PipelineError
from stack.pipelines.review.desk import Desk
from stack.pipelines.review.guidelines import read_guidelines, render
from stack.pipelines.review.log import open_log
from stack.pipelines.review.queue import read_dataset
from stack.pipelines.review.web import create_app

BASE = "http://127.0.0.1:8601"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    out = write_dataset(tmp_path)
    with open_log(out) as log:
        app = create_app(Desk(read_dataset(out), log), title="messages", guidelines=render("# Rules\n\nBe *fair*."), port=8601)
        client = TestClient(app, base_url=BASE)
        client.headers["x-review-token"] = client.get("/").text.partition('review-token" content="')[2].partition('"')[0]
        yield client


def vote(client: TestClient, who: str, record_id: str, label: str | None, **more: Any) -> Any:
    return client.post("/api/decide", json={"reviewer": who, "record_id": record_id, "label": label, **more})


def record(client: TestClient, who: str, position: int, votes: int = 0) -> Any:
    return client.get("/api/record", params={"reviewer": who, "position": position, "votes": votes}).json()


def test_labelers_votes_are_hidden_until_the_reviewer_has_voted_or_asks(client: TestClient) -> None:
    assert record(client, "Ana", 1)["labelers"] is None
    assert record(client, "Ana", 1, votes=1)["labelers"]["votes"] == {"keywords": "positive", "llm": "negative"}
    assert vote(client, "Ana", "b2", "neutral").status_code == 200
    shown = record(client, "Ana", 1)
    assert shown["labelers"]["probability"] == 0.41
    assert shown["mine"] == {"label": "neutral", "note": ""}
    assert record(client, "Bo", 1)["labelers"] is None


def test_reviewers_get_the_same_order_and_never_anothers_vote(client: TestClient) -> None:
    vote(client, "Ana", "e5", "neutral", note="only Ana knows")
    for position in range(5):
        for votes in (0, 1):
            ours, theirs = record(client, "Bo", position, votes), record(client, "Cy", position, votes)
            assert ours == theirs
            assert ours["mine"] is None
            assert "Ana" not in str(ours)
    assert client.get("/api/state", params={"reviewer": "Bo"}).json()["next"] == 0
    assert client.get("/api/state", params={"reviewer": "Ana"}).json()["next"] == 1


def test_disputes_show_all_votes_and_are_settled_once(client: TestClient) -> None:
    vote(client, "Ana", "b2", "neutral", note="two halves")
    state = vote(client, "Bo", "b2", "negative").json()["state"]
    assert state["disputed"] == 1
    [dispute] = client.get("/api/disputes").json()["disputes"]
    assert dispute["people"] == {"Ana": {"label": "neutral", "note": "two halves"}, "Bo": {"label": "negative", "note": ""}}
    assert vote(client, "Cy", "b2", "neutral", kind="adjudication").json()["state"]["disputed"] == 0
    assert client.get("/api/disputes").json()["disputes"] == []
    assert client.post("/api/undo", json={"reviewer": "Cy"}).json() == {"position": 1, "state": client.get("/api/state", params={"reviewer": "Cy"}).json()}
    assert len(client.get("/api/disputes").json()["disputes"]) == 1


def test_skip_counts_apart_and_undo_takes_back_only_ones_own(client: TestClient) -> None:
    vote(client, "Ana", "e5", None)
    state = client.get("/api/state", params={"reviewer": "Ana"}).json()
    assert (state["voted"], state["skipped"], state["left"], state["next"]) == (0, 1, 4, 1)
    assert client.post("/api/undo", json={"reviewer": "Bo"}).json()["error"] == "there is nothing of yours to undo"
    assert client.post("/api/undo", json={"reviewer": "Ana"}).json()["state"]["left"] == 5


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"reviewer": "Ana", "record_id": "zz", "label": "neutral"}, "`record_id`"),
        ({"reviewer": "Ana", "record_id": "a1", "label": "fine"}, "`label`"),
        ({"reviewer": " ", "record_id": "a1", "label": "neutral"}, "`reviewer`"),
        ({"reviewer": "Ana", "record_id": "a1", "label": None, "kind": "adjudication"}, "`label`"),
        ({"reviewer": "Ana", "record_id": "a1", "kind": "undo"}, "`kind`"),
        ({"reviewer": "Ana", "record_id": "a1", "label": "neutral", "seq": 9}, "`seq`"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_written(client: TestClient, tmp_path: Path, body: dict[str, Any], fault: str) -> None:
    answer = client.post("/api/decide", json=body)
    assert answer.status_code == 400
    assert fault in answer.json()["error"]
    assert (tmp_path / "reviews.jsonl").read_bytes() == b""


def test_a_body_that_is_too_long_or_no_json_is_refused(client: TestClient) -> None:
    assert "more than" in client.post("/api/decide", content=b" " * 70_000).json()["error"]
    assert client.post("/api/decide", content=b"\xff").status_code == 400
    assert client.get("/api/record", params={"reviewer": "Ana", "position": "x"}).status_code == 400
    assert client.get("/api/record", params={"reviewer": "Ana", "position": 5}).status_code == 400


@pytest.mark.parametrize("path", ["/", "/review.js", "/api/state"])
def test_another_host_name_is_refused_everywhere(client: TestClient, path: str) -> None:
    answer = client.get(path, params={"reviewer": "Ana"}, headers={"host": "evil.example:8601"})
    assert answer.status_code == 403
    assert "content-security-policy" in answer.headers
    assert client.get(path, params={"reviewer": "Ana"}, headers={"host": "localhost:8601"}).status_code == 200


def test_another_origin_or_a_missing_token_is_refused_and_nothing_is_written(client: TestClient, tmp_path: Path) -> None:
    body = {"reviewer": "Ana", "record_id": "a1", "label": "neutral"}
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"x-review-token": ""}, {"x-review-token": "é".encode()}):
        assert client.post("/api/decide", json=body, headers=headers).status_code == 403
    assert (tmp_path / "reviews.jsonl").read_bytes() == b""
    assert client.post("/api/decide", json=body, headers={"origin": BASE}).status_code == 200


def test_the_page_may_load_only_its_own_style_and_script(client: TestClient) -> None:
    page = client.get("/")
    assert "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'" in page.headers["content-security-policy"]
    assert "<em>fair</em>" in page.text
    assert "http" not in page.text.replace("http-equiv", "")


def test_guidelines_cannot_bring_script_or_images() -> None:
    html = render("<script>alert(1)</script>\n\n[a](javascript:alert(1)) ![b](http://evil.example/b.png)\n\n| a |\n|---|\n| 1 |")
    assert "<script" not in html
    assert "<img" not in html
    assert 'href="javascript' not in html
    assert "<table>" in html


def test_guidelines_are_a_named_file_or_text(tmp_path: Path) -> None:
    file = tmp_path / "guide.md"
    file.write_text("**bold**")
    assert read_guidelines(str(file)) == "<p><strong>bold</strong></p>\n"
    assert read_guidelines("plain") == "<p>plain</p>\n"
    with pytest.raises(PipelineError, match=r"--guidelines .*none\.md cannot be read"):
        read_guidelines(str(tmp_path / "none.md"))
