"""The batch that a service level leaves, by hand-worked numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.serving.errors import ServingError
from stack.serving.models import find_model
from stack.serving.plan import catalog_hardware, make_plan, parse_service_level
from stack.serving.plan.roofline import Load, Rates
from stack.serving.plan.service_level import Batch, ServiceLevel, limit_batch

RATES = Rates(1e12, "a test", 1e15, "a test", "published")
LOAD = Load(weights_bytes=10 * 10**9, active_parameters=5 * 10**9, kv_bytes_per_token=100_000)
"""10 ms to read the weights, 10 us to compute a token, 0.1 us to read one of the cache."""


def limited(text: str, *, kv_tokens: int = 1_000_000, load: Load = LOAD) -> Batch:
    return limit_batch(parse_service_level(text), load, RATES, Batch(512, 8192), length=1000, kv_tokens=kv_tokens)[0]


def test_each_token_later_than_the_weights_and_the_whole_cache_take_allows_no_more_sequences() -> None:
    # 10 ms + n x 1000 x 0.1 us <= 15 ms: n <= 50.
    assert limited("tpot_p99=15ms").sequences == 50


def test_the_chunk_of_prompt_in_a_step_is_halved_until_the_step_is_short_enough() -> None:
    # 8192 tokens take 82 ms, 4096 take 41 ms.
    assert limited("tpot_p99=50ms").tokens == 4096


def test_a_first_token_waits_for_a_step_and_its_own_prompt() -> None:
    batch, reasons = limit_batch(parse_service_level("ttft_p99=500ms"), LOAD, RATES, Batch(512, 8192), length=2000, kv_tokens=1000)
    # A step of 8192 tokens takes 81.92 ms: (500 / 81.92 - 1) x 8192 / 1024 = 40.8 prompts.
    assert (batch, reasons[0].value) == (Batch(512, 8192), "40 prompts")


def test_a_first_token_sooner_than_a_large_step_takes_a_smaller_step() -> None:
    assert limited("ttft_p99=60ms", kv_tokens=1000).tokens < 8192


@pytest.mark.parametrize("text", ["tpot_p99=9ms", "ttft_p99=9ms"])
def test_what_the_hardware_cannot_do_is_refused_with_the_best_it_can(text: str) -> None:
    with pytest.raises(ServingError, match=r"at best \d+\.\d ms"):
        limited(text)


@given(tpot=st.floats(0.0101, 1.0), sequences=st.integers(1, 1024), tokens=st.integers(1024, 16384))
def test_a_batch_that_is_granted_meets_the_limit(tpot: float, sequences: int, tokens: int) -> None:
    batch, _ = limit_batch(ServiceLevel(None, tpot, ""), LOAD, RATES, Batch(sequences, tokens), length=10, kv_tokens=10**9)
    step = max(LOAD.step_s(RATES, batch.sequences, 10, tokens=batch.tokens))
    assert step <= tpot
    assert batch.sequences <= min(batch.tokens, sequences)


@pytest.mark.parametrize("text", ["", "ttft", "ttft_p50=1s", "e2e_p99=1s", "ttft_p99=1s,ttft_p90=1s", "tpot_p99=5"])
def test_a_level_that_cannot_be_read_is_refused_by_the_option(text: str) -> None:
    with pytest.raises(ServingError, match="--slo"):
        parse_service_level(text)


def test_a_level_can_ask_for_more_devices_than_memory_does() -> None:
    model, hardware = find_model("llama-3.1-8b-instruct"), catalog_hardware("l4:4")
    alone = make_plan(hardware, model, max_model_len=8192)
    fast = make_plan(hardware, model, max_model_len=8192, level=parse_service_level("tpot_p99=20ms"))
    assert fast.parallel.tensor > alone.parallel.tensor
    with pytest.raises(ServingError, match=r"out of reach for llama-3\.1-8b-instruct: tpot 1\.0 ms: one sequence of 8192 tokens moves"):
        make_plan(hardware, model, max_model_len=8192, level=parse_service_level("tpot_p99=1ms"))
