"""Asking a model about many texts: concurrency, retries, errors, budgets and kept answers, on a clock that jumps."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from asking_kit import LABELS, FakeTransport, at_once, completion, llm

from stack.pipelines.errors import PipelineError
from stack.pipelines.labeling.answers import Answers
from stack.pipelines.labeling.asking import GoneError, ask_model
from stack.pipelines.labeling.budget import Budget, BudgetSpentError
from stack.pipelines.labeling.connection import HttpAnswer, TransportError
from stack.pipelines.labeling.pace import Window
from stack.pipelines.labeling.votes import Vote

TOO_MANY = HttpAnswer(429, b'{"error": "slow down"}')
YES = Vote("yes", None, 10, 1)


def texts(count: int) -> list[str]:
    return [f"text {number}" for number in range(count)]


def votes(
    asked: list[str], server: FakeTransport, *, window: Window | None = None, budget: Budget | None = None, answers: Answers | None = None, **fields: Any
) -> list[Vote]:
    labeler = llm(**fields)
    window = window or Window(labeler.concurrency)
    return at_once(lambda: ask_model(labeler, asked, LABELS, server, model="tiny", window=window, budget=budget, answers=answers))


def test_votes_come_in_order_and_as_many_are_asked_at_once_as_the_labeler_says() -> None:
    server = FakeTransport(lambda text, _before: completion("yes" if int(text.split()[1]) % 3 else "no"))
    found = votes(texts(50), server, concurrency=7)
    assert [each.label for each in found] == ["yes" if number % 3 else "no" for number in range(50)]
    assert server.peak == 7
    assert set(server.asked.values()) == {1}


def test_equal_texts_are_asked_once() -> None:
    server = FakeTransport()
    assert votes(["a", "b", "a", "a"], server) == [YES] * 4
    assert server.asked == {"a": 1, "b": 1}


def test_an_overloaded_server_is_asked_less_and_nothing_is_lost() -> None:
    """It takes 5 at once; 64 are asked for."""
    server = FakeTransport()
    server.answer = lambda _text, _before: TOO_MANY if server.in_flight > 5 else completion()
    window = Window(64)
    found = votes(texts(600), server, window=window, concurrency=64, attempts=4)
    assert found == [YES] * 600
    assert window.size <= 7, "it settles about what the server takes"
    late = [text for _, text in server.sent_at[-300:]]
    assert len(late) - len(set(late)) < 60, "and is seldom refused later on"


@pytest.mark.parametrize("fault", [HttpAnswer(503, b"busy"), TOO_MANY, "slow"])
def test_signs_of_overload_halve_what_is_in_flight(fault: HttpAnswer | str) -> None:
    async def never() -> HttpAnswer:
        await asyncio.sleep(1000)
        raise AssertionError

    server = FakeTransport(lambda text, before: (never() if fault == "slow" else fault) if before == 0 and text == "text 0" else completion())
    window = Window(8)
    assert votes(texts(8), server, window=window, concurrency=8, timeout_s=1.0) == [YES] * 8
    assert 4 <= window.size < 8
    assert server.asked["text 0"] == 2


def test_an_error_of_one_record_does_not_slow_the_others() -> None:
    server = FakeTransport(lambda text, _before: HttpAnswer(500, b"") if text == "text 0" else completion())
    window = Window(8)
    found = votes(texts(9), server, window=window, concurrency=8)
    assert window.size == 8
    assert found[0].error == "http_500"
    assert found[1:] == [YES] * 8


def test_retry_after_keeps_everyone_away_for_as_long_as_the_server_asks() -> None:
    server = FakeTransport(lambda text, before: HttpAnswer(429, b"", "20") if text == "text 0" and not before else completion())
    assert votes(texts(12), server, concurrency=4) == [YES] * 12
    refused = server.sent_at[0][0] + server.latency_s
    after = [when for when, _ in server.sent_at if when > refused]
    assert after
    assert min(after) >= refused + 20 - 1e-6
    assert max(after) < refused + 25


def test_a_retry_after_of_a_day_is_capped() -> None:
    server = FakeTransport(lambda _text, before: completion() if before else HttpAnswer(503, b"", "86400"))
    assert votes(["a"], server) == [YES]
    assert 59 < server.sent_at[1][0] - server.sent_at[0][0] < 65


@pytest.mark.parametrize(
    ("said", "error", "tries", "value"),
    [
        (HttpAnswer(500, b'{"choices": [{"message": {"content": "yes"}}]}'), "http_500", 3, '{"choices": [{"message": {"content": "yes"}}]}'),
        (HttpAnswer(400, b'{"error": "too long"}'), "http_400", 1, '{"error": "too long"}'),
        (HttpAnswer(200, b"<html>hello</html>"), "not_json", 3, "<html>hello</html>"),
        (HttpAnswer(200, b'{"error": "none"}'), "malformed", 3, '{"error": "none"}'),
        (HttpAnswer(502, b"x" * 900), "http_502", 3, "x" * 500),
        (TransportError("closed", "gone"), "closed", 3, "closed: gone"),
        (completion("perhaps"), "not_a_label", 1, "perhaps"),
    ],
    ids=["500 with a completion", "400", "garbage", "no completion", "502", "closed", "not a label"],
)
def test_a_record_that_fails_gets_one_error_and_the_others_their_votes(said: Any, error: str, tries: int, value: str) -> None:
    server = FakeTransport(lambda text, _before: said if text == "text 1" else completion())
    found = votes(texts(3), server, attempts=3)
    assert [each.error for each in found] == [None, error, None]
    assert found[1].label is None
    assert found[1].value == value
    assert server.asked == {"text 0": 1, "text 1": tries, "text 2": 1}


def test_a_failure_that_passes_costs_only_another_try() -> None:
    server = FakeTransport(lambda _text, before: completion() if before >= 2 else HttpAnswer(500, b""))
    assert votes(texts(10), server, attempts=3) == [YES] * 10


def test_not_now_may_come_as_often_as_the_window_can_halve_and_no_more() -> None:
    server = FakeTransport(lambda _text, _before: TOO_MANY)
    found = votes(["a"], server, concurrency=8, attempts=2)
    assert found[0].error == "http_429"
    assert server.asked["a"] == 2 + 3
    alone = FakeTransport(lambda _text, _before: TOO_MANY)
    votes(["a"], alone, concurrency=1, attempts=2)
    assert alone.asked["a"] == 2


@pytest.mark.parametrize("said", [TransportError("refused", "nobody"), HttpAnswer(401, b"key")])
def test_an_endpoint_that_is_gone_ends_it(said: Any) -> None:
    with pytest.raises(GoneError):
        votes(texts(3), FakeTransport(lambda _text, _before: said))
    many = FakeTransport(lambda _text, _before: said)
    with pytest.raises(GoneError):
        votes(texts(5000), many, concurrency=4, attempts=1)
    assert sum(many.asked.values()) < 50, "it does not go through all records first"


def test_a_record_that_a_gateway_forbids_is_that_records_error(tmp_path: Path) -> None:
    server = FakeTransport(lambda text, _before: HttpAnswer(403, b"screened") if int(text.split()[1]) >= 20 else completion())
    with Answers(tmp_path / "0.jsonl") as answers:
        first = votes(texts(60), server, answers=answers)
        assert [each.error for each in first] == [None] * 20 + ["http_403"] * 40
        assert votes(texts(21), server, answers=answers) == first[:21]
    with pytest.raises(GoneError):
        votes(texts(60)[20:], server)


def test_an_engine_that_dies_at_the_end_of_a_shard_leaves_no_error_row() -> None:
    server = FakeTransport(lambda text, _before: TransportError("refused", "nobody") if text == "text 9" else completion(), latency_s=0.1)
    with pytest.raises(GoneError):
        votes(texts(10), server)


def test_an_engine_that_dies_half_way_leaves_its_answers_and_no_error_rows(tmp_path: Path) -> None:
    server = FakeTransport(lambda text, _before: completion() if int(text.split()[1]) < 30 else TransportError("refused", "nobody"))
    with Answers(tmp_path / "0.jsonl") as answers, pytest.raises(GoneError):
        votes(texts(60), server, answers=answers)
    back = FakeTransport()
    with Answers(tmp_path / "0.jsonl") as answers:
        assert votes(texts(60), back, answers=answers) == [YES] * 60
    assert sorted(back.asked) == sorted(f"text {number}" for number in range(30, 60))


def test_a_token_budget_stops_new_requests_and_keeps_the_answers(tmp_path: Path) -> None:
    server = FakeTransport()
    with Answers(tmp_path / "0.jsonl") as answers, pytest.raises(BudgetSpentError, match="--max-tokens 220 is spent: 80 records remain") as spent:
        votes(texts(100), server, budget=Budget(220), answers=answers, concurrency=4)
    assert spent.value.remaining == 80
    assert isinstance(spent.value, PipelineError)
    again, rest = FakeTransport(), Budget(80 * 11)
    with Answers(tmp_path / "0.jsonl") as answers:
        assert votes(texts(100), again, budget=rest, answers=answers) == [YES] * 100
    assert sum(again.asked.values()) == 80, "answers kept from before are neither asked nor counted"
    assert rest.spent


def test_a_time_budget_waits_for_what_is_in_flight_and_then_stops(tmp_path: Path) -> None:
    server, answers = FakeTransport(latency_s=0.7), Answers(tmp_path / "0.jsonl")

    async def run() -> None:
        loop = asyncio.get_running_loop()
        labeler = llm(concurrency=4)
        await ask_model(labeler, texts(100), LABELS, server, model="tiny", window=Window(4), budget=Budget(seconds=2, clock=loop.time), answers=answers)

    with pytest.raises(BudgetSpentError, match="--max-seconds 2 is over: 88 records remain"):
        at_once(run)
    assert sum(server.asked.values()) == 12, "0, 0.7 and 1.4 s: three rounds of four"
    assert len(answers) == 12
    answers.close()


def test_failures_are_not_kept(tmp_path: Path) -> None:
    down = FakeTransport(lambda text, _before: HttpAnswer(500, b"") if text == "text 1" else completion("perhaps"))
    with Answers(tmp_path / "0.jsonl") as answers:
        assert [each.error for each in votes(texts(3), down, answers=answers)] == ["not_a_label", "http_500", "not_a_label"]
    up = FakeTransport()
    with Answers(tmp_path / "0.jsonl") as answers:
        found = votes(texts(3), up, answers=answers)
    assert up.asked == {"text 1": 1}, "an answer that is no label was paid for, and would come again"
    assert [each.error for each in found] == ["not_a_label", None, "not_a_label"]


def test_another_question_is_another_answer(tmp_path: Path) -> None:
    server = FakeTransport()
    changes: list[dict[str, Any]] = [{}, {"model": "other"}, {"max_tokens": 9}, {"seed": 1}, {"system": "s"}, {"output": "spans"}]
    with Answers(tmp_path / "0.jsonl") as answers:
        for change in changes:
            votes(["a"], server, answers=answers, **change)
        votes(["a"], server, answers=answers, concurrency=3, timeout_s=1.0, attempts=1)
    assert server.asked["a"] == len(changes)
