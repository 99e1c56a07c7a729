"""Conversations grow at their end, think in between, and are the same in every run of a seed."""

import hashlib
import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_kit import load, save

from bench.errors import BenchError
from bench.prompts.sessions import SessionBodies, session_bodies
from bench.prompts.tokenizer import count_tokens, load_tokenizer

PLAN: dict[str, Any] = {
    "kind": "sessions",
    "turns": {"kind": "uniform", "min": 2, "max": 6},
    "first_tokens": 40,
    "turn_tokens": {"kind": "uniform", "min": 5, "max": 15},
    "max_tokens": 12,
    "think_s": 2.0,
}


def sessions(seed: int = 3, **changes: Any) -> SessionBodies:
    return session_bodies(load(prompts={**PLAN, **changes}), seed=seed)


def messages(body: bytes) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(body)["messages"]
    return found


@pytest.mark.slow
@given(st.integers(0, 10**6), st.integers(0, 2**32))
def test_each_turn_sends_the_turn_before_and_one_more_question(session: int, seed: int) -> None:
    talk = sessions(seed)
    before: list[dict[str, str]] = []
    for turn in range(talk.turns(session)):
        said = messages(talk.body(session, turn, []))
        assert said[: len(before)] == before
        assert [each["role"] for each in said] == ["user", "assistant"] * turn + ["user"]
        before = said


def test_the_bytes_of_a_turn_begin_with_those_of_the_turn_before() -> None:
    """What a prefix cache compares is the text, and the text only ever grows."""
    talk = sessions()
    shorter, longer = (talk.body(5, turn, []) for turn in (1, 2))
    assert longer.startswith(shorter[: shorter.index(b"]")])


def test_with_history_reply_the_assistant_is_quoted_word_for_word() -> None:
    talk = sessions(history="reply")
    said = messages(talk.body(4, 2, ['He said "no".\n', "Čau \U0001f600"]))
    assert [each["content"] for each in said if each["role"] == "assistant"] == ['He said "no".\n', "Čau \U0001f600"]


def test_scripted_replies_do_not_depend_on_what_the_server_said() -> None:
    assert sessions().body(4, 1, ["something"]) == sessions().body(4, 1, [])


def test_sessions_never_begin_alike_and_follow_the_seed() -> None:
    openings = {messages(talk.body(session, 0, []))[0]["content"][:40] for talk in (sessions(1), sessions(2)) for session in range(500)}
    assert len(openings) == 1000


def test_without_salt_another_seed_says_the_same_words() -> None:
    fixed = {"turn_tokens": 5, "salt": False}
    assert sessions(1, **fixed).body(3, 2, []) == sessions(2, **fixed).body(3, 2, [])
    assert sessions(1, **fixed).shared_share == 1.0


def test_the_sessions_of_a_seed_never_change() -> None:
    """Published numbers must stay reproducible: these values may not move."""
    talk = sessions(7)
    assert [talk.turns(session) for session in range(6)] == [3, 2, 6, 3, 5, 5]
    assert [talk.think_ns(0, turn) for turn in range(3)] == [0, 2507905322, 3734770388]
    assert (
        hashlib.sha256(b"\n".join(talk.body(session, 2, []) for session in range(100))).hexdigest()
        == "7e0166137e8de920ab0d993019b1debe74974a4e2265e18d7a917783113796b4"
    )


def test_numbers_of_turns_keep_to_their_limits() -> None:
    talk = sessions()
    assert talk.max_turns == 6
    assert {talk.turns(session) for session in range(200)} == {2, 3, 4, 5, 6}


def test_pauses_are_exponential_with_the_mean_asked_for_and_none_comes_first() -> None:
    talk = sessions()
    pauses = [talk.think_ns(session, 1) / 1e9 for session in range(5000)]
    assert abs(statistics.mean(pauses) - 2.0) < 4 * 2.0 / 5000**0.5
    assert 0.9 < statistics.stdev(pauses) / 2.0 < 1.1
    assert {talk.think_ns(session, 0) for session in range(20)} == {0}


def test_fixed_pauses_are_all_alike() -> None:
    talk = sessions(think_spread="fixed", think_s=0.25)
    assert {talk.think_ns(session, turn) for session in range(5) for turn in (1, 2)} == {250_000_000}
    assert sessions(think_s=0).think_ns(1, 1) == 0


def test_with_a_tokenizer_every_message_is_exact(tmp_path: Path) -> None:
    counting = load_tokenizer(save(tmp_path))
    talk = sessions(tokenizer=str(tmp_path), turns=4, turn_tokens=9)
    for session in range(50):
        counts = [count_tokens(counting, each["content"]) for each in messages(talk.body(session, 3, []))]
        assert counts == [40, 12, 9, 12, 9, 12, 9]


def test_without_a_tokenizer_a_word_is_taken_for_a_token() -> None:
    said = messages(sessions(turns=3, turn_tokens=9).body(0, 2, []))
    assert [len(each["content"].split()) for each in said] == [40, 12, 9, 12, 9]


def test_the_shared_share_is_what_a_perfect_cache_would_save() -> None:
    """3 turns of 40, 40 + 12 + 10, 40 + 24 + 20 tokens: scripted answers are new when they come back, real ones are known."""
    plan = {"turns": 3, "turn_tokens": 10}
    assert sessions(**plan).shared_share == pytest.approx((40 + 62) / (40 + 62 + 84))
    assert sessions(**plan, history="reply").shared_share == pytest.approx((40 + 12 + 62 + 12) / (40 + 62 + 84))
    assert sessions(turns=1).shared_share == 0.0


def test_other_prompts_have_no_sessions() -> None:
    with pytest.raises(BenchError, match="kind text has no sessions"):
        session_bodies(load(), seed=1)
