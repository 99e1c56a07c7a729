"""The page as a browser without JavaScript gets it: in process, over ASGI."""

import asyncio
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from stack.apps.transit import TripAnswerer
from stack.apps.transit.feed import Feed
from stack.apps.transit.web import EXAMPLES, create_app

FORM = {"from": "STAGECOACH", "to": "FUR_CREEK_RES", "day": "2007-06-06", "time": "07:00"}


class Markup(HTMLParser):
    """Collects elements, and checks that every element that needs an end has one."""

    VOID = frozenset({"meta", "link", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def request_page(feed: Feed) -> Any:
    app = create_app(TripAnswerer(feed))

    def request(method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://page") as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())

    return request


QUERIES = ({}, {"question": EXAMPLES[0]}, {"question": "from Las Vegas to Bullfrog"}, {"question": ""}, FORM, {**FORM, "time": "25:00"})


@pytest.mark.parametrize("query", QUERIES)
def test_the_page_is_accessible_in_its_basics(request_page: Any, query: dict[str, str]) -> None:
    page = request_page("GET", "/", params=query)
    markup = Markup(page.text)
    assert markup.all("html") == [{"lang": "en"}]
    assert len(markup.all("title")) == len(markup.all("main")) == len(markup.all("h1")) == 1
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in markup.all("meta")
    ids = [attributes["id"] for _, attributes in markup.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = {attributes["for"] for attributes in markup.all("label")}
    assert {attributes["id"] for attributes in markup.all("input", "select")} == labelled
    pointed = [attributes[name] for _, attributes in markup.elements for name in ("aria-labelledby", "aria-describedby") if name in attributes]
    assert set(pointed) <= set(ids)
    levels = [int(tag[1]) for tag, _ in markup.elements if tag in {"h1", "h2", "h3"}]
    assert all(after - before <= 1 for before, after in zip([0, *levels], levels, strict=False))


@pytest.mark.parametrize("query", QUERIES)
def test_the_page_runs_no_script_and_loads_nothing_from_elsewhere(request_page: Any, query: dict[str, str]) -> None:
    page = request_page("GET", "/", params=query)
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self';")
    markup = Markup(page.text)
    assert not markup.all("script", "style", "img", "iframe")
    assert [attributes["href"] for attributes in markup.all("link")] == ["/style.css"]
    assert not [name for _, attributes in markup.elements for name in attributes if name.startswith("on") or name == "style"]
    assert all((attributes["href"] or "").startswith("/") for attributes in markup.all("a"))
    css = request_page("GET", "/style.css")
    assert css.headers["content-type"].startswith("text/css")
    assert "url(" not in css.text
    assert "@import" not in css.text


def test_a_question_is_answered_with_a_list_of_rides_and_what_was_understood(request_page: Any) -> None:
    page = request_page("GET", "/", params={"question": EXAMPLES[0]})
    assert page.status_code == 200
    assert "07:30 to 09:20" in page.text
    markup = Markup(page.text)
    assert [each["datetime"] for each in markup.all("time")][:2] == ["2007-06-06T07:30", "2007-06-06T07:50"]
    assert [each["value"] for each in markup.all("option") if "selected" in each] == ["STAGECOACH", "FUR_CREEK_RES"]


def test_the_form_answers_without_reading_a_question(request_page: Any) -> None:
    page = request_page("GET", "/", params=FORM)
    assert "07:30 to 09:20" in page.text
    assert "read.form" in page.text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"question": ""}, "field `question`: must have 1 to 300 characters, got 0"),
        ({"question": "x" * 301}, "got 301"),
        ({**FORM, "from": "nowhere"}, "field `from`: choose one of the stops of the list"),
        ({**FORM, "day": "6 June"}, "field `day`: must be a date"),
        ({**FORM, "time": "noon"}, "field `time`: must be a time"),
        ({**FORM, "time": "24:00"}, "field `time`: must be before 24:00"),
    ],
)
def test_bad_input_is_told_as_an_alert(request_page: Any, query: dict[str, str], words: str) -> None:
    page = request_page("GET", "/", params=query)
    assert page.status_code == 400
    assert words in page.text.split('role="alert"')[1]


def test_what_a_question_holds_is_shown_as_text_never_as_markup(request_page: Any) -> None:
    page = request_page("GET", "/", params={"question": '"><script>alert(1)</script> to Bullfrog'})
    assert "<script" not in page.text


def test_the_json_form_gives_the_answer_its_sources_and_its_trace(request_page: Any) -> None:
    answer = request_page("POST", "/api/answer", json={"question": "airport to Bullfrog tomorrow at 7:00", "today": "2007-06-05"}).json()
    assert (answer["status"], answer["slots"]["day"], answer["rides"][0]["depart_s"]) == ("found", "2007-06-06", 28800)
    assert answer["sources"]
    assert answer["tool_trace"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "body: field `(document)`: Invalid JSON"),
        (b'{"q": "x"}', 400, "body: field `question`: Field required"),
        (b'{"question": ""}', 400, "field `question`: must have 1 to 300 characters"),
        (b'{"question": "' + b"x" * 5000 + b'"}', 413, "more than 4096 bytes"),
    ],
)
def test_a_bad_body_is_told_in_one_line(request_page: Any, body: bytes, status: int, words: str) -> None:
    answer = request_page("POST", "/api/answer", content=body)
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_health_names_the_feed(request_page: Any, feed: Feed) -> None:
    assert request_page("GET", "/healthz").json() == {"status": "ok", "feed": feed.name, "feed_sha256": feed.sha256, "model": None}


def test_faults_carry_the_policy_too(request_page: Any) -> None:
    page = request_page("GET", "/nowhere")
    assert page.status_code == 404
    assert "content-security-policy" in page.headers
