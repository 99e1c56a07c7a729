import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.serving.over_limit import OverLimitError, SlotsTakenError
from stack.serving.quotas import WINDOW_S, Demand, Quotas
from stack.serving.tenants import Principal, RateClass

CLINIC, SCHOOL = Principal("clinic"), Principal("school")


def quotas(**limits: int) -> Quotas:
    return Quotas({"default": RateClass(**limits)}, longest_s=100)


def demand(tokens: int = 10) -> Demand:
    return Demand(model="m", tokens=tokens)


def test_requests_are_refused_until_the_first_of_them_is_a_minute_old() -> None:
    accounts = quotas(requests_per_minute=2)
    accounts.open("a", CLINIC, demand(), 0)
    accounts.open("b", CLINIC, None, 20)
    with pytest.raises(OverLimitError, match="2 requests a minute") as caught:
        accounts.open("c", CLINIC, demand(), 30)
    assert caught.value.retry_after_s == 30
    accounts.open("d", SCHOOL, demand(), 30)
    accounts.open("e", CLINIC, demand(), 60)


def test_the_estimate_counts_until_the_end_is_known_and_the_engines_count_from_then_on() -> None:
    accounts = quotas(tokens_per_minute=100)
    accounts.open("a", CLINIC, demand(90), 0)
    with pytest.raises(OverLimitError, match="100 tokens a minute") as caught:
        accounts.open("b", CLINIC, demand(20), 10)
    assert caught.value.retry_after_s == 50
    assert accounts.close("a", 30, 11) == "clinic"
    accounts.open("b", CLINIC, demand(70), 12)
    with pytest.raises(OverLimitError):
        accounts.open("c", CLINIC, demand(1), 13)


def test_an_unknown_end_lets_the_estimate_stand() -> None:
    accounts = quotas(tokens_per_minute=100)
    accounts.open("a", CLINIC, demand(90), 0)
    accounts.close("a", None, 1)
    with pytest.raises(OverLimitError):
        accounts.open("b", CLINIC, demand(11), 2)


def test_a_request_that_never_fits_is_told_so_and_not_to_try_again() -> None:
    with pytest.raises(OverLimitError, match="estimated 101 tokens are more than the 100 a minute") as caught:
        quotas(tokens_per_minute=100).open("a", CLINIC, demand(101), 0)
    assert caught.value.retry_after_s is None


def test_slots_are_taken_until_the_end_is_reported_once() -> None:
    accounts = quotas(concurrent_requests=1)
    accounts.open("a", CLINIC, demand(), 0)
    accounts.open("models", CLINIC, None, 0)
    with pytest.raises(SlotsTakenError):
        accounts.open("b", CLINIC, demand(), 1)
    assert [accounts.close("a", None, 1), accounts.close("a", None, 1), accounts.close("never", None, 1)] == ["clinic", None, None]
    accounts.open("b", CLINIC, demand(), 1)
    with pytest.raises(SlotsTakenError):
        accounts.open("c", CLINIC, demand(), 1)


def test_a_slot_whose_end_was_never_reported_is_free_after_the_longest_request() -> None:
    accounts = quotas(concurrent_requests=1)
    accounts.open("a", CLINIC, demand(), 0)
    accounts.open("b", CLINIC, demand(), 100)
    assert accounts.close("a", None, 101) is None


def test_a_refused_request_is_charged_nothing() -> None:
    accounts = quotas(requests_per_minute=2, concurrent_requests=1)
    accounts.open("a", CLINIC, demand(), 0)
    for _ in range(5):
        with pytest.raises(SlotsTakenError):
            accounts.open("b", CLINIC, demand(), 1)
    accounts.close("a", None, 2)
    accounts.open("b", CLINIC, demand(), 2)


def test_of_several_limits_the_answer_tells_the_one_that_takes_longest() -> None:
    accounts = quotas(requests_per_minute=1, tokens_per_minute=100)
    accounts.open("models", CLINIC, None, 0)
    accounts.open("a", CLINIC, demand(90), 60)
    with pytest.raises(OverLimitError, match="1 requests a minute"):
        accounts.open("b", CLINIC, demand(5), 61)
    with pytest.raises(OverLimitError, match="more than the 100 a minute"):
        accounts.open("b", CLINIC, demand(101), 61)


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 40)), max_size=40))
def test_no_minute_holds_more_estimated_tokens_than_the_limit_and_the_told_wait_is_enough(steps: list[tuple[float, int]]) -> None:
    accounts, now, passed = quotas(tokens_per_minute=50), 0.0, list[tuple[float, int]]()
    for number, (pause, tokens) in enumerate(steps):
        now += pause
        try:
            accounts.open(str(number), CLINIC, demand(tokens), now)
        except OverLimitError as over:
            now += (over.retry_after_s or 0) + 1e-6
            accounts.open(str(number), CLINIC, demand(tokens), now)
        passed.append((now, tokens))
        assert sum(amount for at, amount in passed if at > now - WINDOW_S) <= 50
