"""What requests say follows from the workload, the seed and their number."""

import hashlib
import itertools
import json
import math
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_kit import content, load
from pydantic import TypeAdapter

from bench.errors import BenchError
from bench.prompts.bodies import Bodies, request_bodies
from bench.prompts.draw import draws, longest, mean_length
from bench.workload.lengths import Length, LogNormal

TEXTS = {"kind": "texts", "texts": ["a", "b", "c"], "max_tokens": 4}
LENGTHS = st.one_of(
    st.integers(1, 10_000),
    st.tuples(st.integers(1, 500), st.integers(0, 500)).map(lambda pair: {"kind": "uniform", "min": pair[0], "max": sum(pair)}),
    st.tuples(st.floats(0.1, 5000), st.floats(0, 5), st.integers(1, 50), st.integers(0, 5000)).map(
        lambda four: {"kind": "lognormal", "median": four[0], "sigma": four[1], "min": four[2], "max": four[2] + four[3]}
    ),
)


def bodies(seed: int = 3, *, prompts: dict[str, Any] = TEXTS, **workload: Any) -> Bodies:
    return request_bodies(load(prompts=prompts, **workload), seed=seed)


def length(form: Any) -> Length:
    made: Length = TypeAdapter(Length).validate_python(form)
    return made


def test_prompts_follow_the_seed_and_each_begins_with_a_word_of_its_own() -> None:
    of_three, again, of_four = bodies(3), bodies(3), bodies(4)
    assert [of_three(index) for index in range(50)] == [again(index) for index in range(50)]
    contents = [content(of_three(index)) for index in range(50)] + [content(of_four(index)) for index in range(50)]
    assert len({text.split()[0] for text in contents}) == 100
    assert {text.split()[1] for text in contents} == {"a", "b", "c"}


def test_the_requests_of_a_seed_never_change() -> None:
    """Published numbers must stay reproducible: these bytes may not move."""
    prompts = {**TEXTS, "max_tokens": {"kind": "lognormal", "median": 50, "sigma": 0.7, "max": 400}}
    build = bodies(7, prompts=prompts)
    first = (
        b'{"messages": [{"role": "user", "content": "[2c16c4a58859bcf4] b"}], '
        b'"model": "mock", "temperature": 0.0, "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 22}'
    )
    assert build(0) == first
    assert hashlib.sha256(b"\n".join(build(index) for index in range(1000))).hexdigest() == "b0d6ed0661fd25a5d8325654021fb2566d81ac70924afe247707d82c4ff55ef1"


@given(st.permutations(range(12)), st.integers(0, 2**64))
def test_a_request_does_not_depend_on_those_asked_for_before_it(order: list[int], seed: int) -> None:
    prompts = {**TEXTS, "max_tokens": {"kind": "uniform", "min": 1, "max": 99}}
    in_order = bodies(seed, prompts=prompts)
    expected = [in_order(index) for index in range(12)]
    another = bodies(seed, prompts=prompts)
    assert {index: another(index) for index in order} == dict(enumerate(expected))


@given(st.text(min_size=1), st.booleans())
def test_a_body_is_the_chat_request_it_should_be(text: str, salt: bool) -> None:
    build = bodies(prompts={"kind": "text", "text": text, "max_tokens": 4, "salt": salt, "ignore_eos": True}, temperature=0.5, extra_body={"top_k": 3})
    document = json.loads(build(0))
    said = document.pop("messages")[0]
    assert said["role"] == "user"
    assert said["content"] == text if not salt else said["content"].endswith(f"] {text}")
    assert document == {
        "model": "mock", "max_tokens": 4, "temperature": 0.5, "stream": True, "stream_options": {"include_usage": True}, "ignore_eos": True, "top_k": 3
    }  # fmt: skip


def test_without_salt_the_same_text_is_the_same_request_whatever_the_seed() -> None:
    prompts = {"kind": "text", "text": "hello", "max_tokens": 4, "salt": False}
    assert len({bodies(seed, prompts=prompts)(index) for seed in (1, 2) for index in range(20)}) == 1


def test_only_unsalted_text_is_shared_between_requests() -> None:
    assert bodies().shared_share == 0.0
    assert bodies(prompts={**TEXTS, "salt": False}).shared_share == 1.0


@pytest.mark.parametrize(
    ("extra", "mend"),
    [
        ({"stream": False}, "extra_body.stream`: may not be set"),
        ({"stream_options": {}}, "extra_body.stream_options`: may not be set"),
        ({"max_completion_tokens": 3}, "give it as `prompts.max_tokens`"),
        ({"ignore_eos": True}, "give it as `prompts.ignore_eos`"),
        ({"stop_at": {1, 2}}, "not JSON"),
    ],
)
def test_fields_that_the_figures_rest_on_cannot_be_slipped_in(extra: dict[str, Any], mend: str) -> None:
    with pytest.raises(BenchError, match="extra_body") as caught:
        bodies(extra_body=extra)
    assert mend in str(caught.value)


def test_sessions_are_not_asked_for_one_by_one() -> None:
    with pytest.raises(BenchError, match="turn by turn"):
        bodies(prompts={"kind": "sessions", "turns": 2, "first_tokens": 5, "turn_tokens": 5, "max_tokens": 5})


@given(LENGTHS, st.integers(0, 2**32), st.integers(0, 10**9))
def test_a_drawn_length_keeps_its_limits_and_follows_its_stream(form: Any, seed: int, index: int) -> None:
    given_length = length(form)
    drawn = draws(given_length, seed=seed, name="output")(index)
    assert 1 <= drawn <= longest(given_length)
    if isinstance(given_length, int):
        assert drawn == given_length
    else:
        assert drawn >= given_length.min
    assert draws(given_length, seed=seed, name="output")(index) == drawn


@given(LENGTHS)
def test_the_expected_length_lies_within_the_limits(form: Any) -> None:
    given_length = length(form)
    least = given_length if isinstance(given_length, int) else given_length.min
    assert least <= mean_length(given_length) <= longest(given_length)


def test_uniform_lengths_reach_both_ends_and_are_even_by_a_chi_square_test() -> None:
    draw = draws(length({"kind": "uniform", "min": 3, "max": 12}), seed=5, name="output")
    counts = [0] * 10
    for index in range(10_000):
        counts[draw(index) - 3] += 1
    assert sum((count - 1000) ** 2 / 1000 for count in counts) < 21.7  # 1 % level at 9 degrees of freedom


def test_lognormal_lengths_have_the_logarithm_that_was_asked_for() -> None:
    form = length({"kind": "lognormal", "median": 400, "sigma": 0.5})
    assert isinstance(form, LogNormal)
    draw = draws(form, seed=5, name="output")
    logs = [math.log(draw(index)) for index in range(10_000)]
    assert abs(statistics.mean(logs) - math.log(400)) < 3 * 0.5 / 100
    assert abs(statistics.stdev(logs) - 0.5) < 3 * 0.5 / math.sqrt(20_000)
    assert math.isclose(mean_length(form), 400 * math.exp(0.125), rel_tol=0.005)


def test_output_lengths_are_drawn_apart_from_the_texts() -> None:
    """The streams have names: another distribution of lengths leaves the words as they were."""
    short, long = bodies(prompts=TEXTS), bodies(prompts={**TEXTS, "max_tokens": {"kind": "uniform", "min": 1, "max": 9}})
    assert [content(short(index)) for index in range(20)] == [content(long(index)) for index in range(20)]
    lengths = [json.loads(long(index))["max_tokens"] for index in range(200)]
    assert set(lengths) == set(range(1, 10))
    assert not all(later == earlier for earlier, later in itertools.pairwise(lengths))
