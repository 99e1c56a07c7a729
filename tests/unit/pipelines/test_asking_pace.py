"""How fast to ask: the window, back-off, Retry-After, budgets."""

import pickle
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.pipelines.labeling.budget import Budget, BudgetSpentError
from stack.pipelines.labeling.pace import MAX_BACKOFF_S, MAX_RETRY_AFTER_S, Window, backoff_s, retry_after_s

NOON = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3),
        ("0.25", 0.25),
        ("0", 0),
        ("-5", 0),
        ("86400", MAX_RETRY_AFTER_S),
        ("inf", MAX_RETRY_AFTER_S),
        ("Sat, 28 Nov 2026 12:00:07 GMT", 7),
        ("Sat, 28 Nov 2026 11:00:00 GMT", 0),
        ("Sun, 29 Nov 2026 12:00:00 GMT", MAX_RETRY_AFTER_S),
        ("nan", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date_and_is_capped(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, now=NOON) == seconds


def test_one_burst_of_refusals_halves_the_window_once() -> None:
    window = Window(64)
    sent_together = [window.ticket() for _ in range(64)]
    for ticket in sent_together:
        window.overloaded(ticket)
    assert window.size == 32
    window.overloaded(window.ticket())
    assert window.size == 16


def test_a_window_of_answers_makes_room_for_one_more() -> None:
    window = Window(64)
    for _ in range(3):
        window.overloaded(window.ticket())
    assert window.size == 8
    for _ in range(9):
        window.answered()
    assert window.size == 9


@given(st.integers(1, 300), st.lists(st.booleans(), max_size=400))
def test_the_window_stays_between_one_and_its_ceiling(ceiling: int, answered: list[bool]) -> None:
    window = Window(ceiling)
    for good in answered:
        window.answered() if good else window.overloaded(window.ticket())
        assert 1 <= window.size <= ceiling


def test_backoff_is_jittered_between_nothing_and_a_doubling_bound() -> None:
    for attempt in (1, 2, 3, 20):
        waits = [backoff_s(attempt) for _ in range(300)]
        bound = min(MAX_BACKOFF_S, 0.5 * 2 ** (attempt - 1))
        assert min(waits) >= 0
        assert max(waits) <= bound
        assert max(waits) > 0.8 * bound
        assert min(waits) < 0.2 * bound


def test_a_budget_counts_tokens_and_time_and_says_which_is_over() -> None:
    now = [50.0]
    tokens = Budget(100, clock=lambda: now[0])
    tokens.spend(99)
    assert not tokens.spent
    tokens.spend(2)
    assert tokens.spent
    assert tokens.in_words(remaining=1234).startswith("--max-tokens 100 is spent: 1,234 records remain")
    assert Budget(100).in_words(remaining=1).startswith("--max-tokens 100 is spent"), "a task spent the rest, which its run has not counted yet"
    seconds = Budget(seconds=5, clock=lambda: now[0])
    now[0] += 1000
    assert not seconds.spent, "time counts from the first look"
    now[0] += 5
    assert seconds.spent
    assert seconds.in_words(remaining=3).startswith("--max-seconds 5 is over: 3 records remain")


def test_what_is_left_travels_to_a_worker() -> None:
    budget = Budget(100, 60)
    budget.spend(30)
    left = pickle.loads(pickle.dumps(budget.left))
    assert left.tokens == 70
    assert 59 < left.seconds <= 60
    fault = pickle.loads(pickle.dumps(BudgetSpentError("over", remaining=4)))
    assert (str(fault), fault.remaining) == ("over", 4)
