import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.system.cache_guard import TEMPLATE_TOKENS, hit_rate_limit, reset_prefix_cache
from bench.workload.models import CacheGuard

AUTO = CacheGuard()


def test_the_limit_is_what_prompts_share_by_design_and_a_margin() -> None:
    assert hit_rate_limit(AUTO, shared_share=0.5, prompt_tokens_mean=64_000) == pytest.approx(0.5505)


def test_a_chat_template_in_front_of_short_prompts_is_shared_by_design_too() -> None:
    assert hit_rate_limit(AUTO, shared_share=0.0, prompt_tokens_mean=128) == pytest.approx(0.55)
    assert hit_rate_limit(AUTO, shared_share=0.0, prompt_tokens_mean=20) == 1


def test_the_workloads_own_limit_wins() -> None:
    assert hit_rate_limit(CacheGuard(max_hit_rate=0.2), shared_share=0.9, prompt_tokens_mean=10) == 0.2
    assert hit_rate_limit(CacheGuard(max_hit_rate=0.2), shared_share=None, prompt_tokens_mean=None) == 0.2


@pytest.mark.parametrize(("shared_share", "prompt_tokens_mean"), [(None, 100.0), (0.0, None)])
def test_without_knowing_what_is_shared_there_is_no_limit(shared_share: float | None, prompt_tokens_mean: float | None) -> None:
    assert hit_rate_limit(AUTO, shared_share=shared_share, prompt_tokens_mean=prompt_tokens_mean) is None


@given(st.floats(0, 1), st.floats(1, 1e6), st.floats(1, 1e6))
def test_longer_prompts_are_allowed_less(shared_share: float, one: float, other: float) -> None:
    limits = [hit_rate_limit(AUTO, shared_share=shared_share, prompt_tokens_mean=tokens) for tokens in sorted((one, other))]
    assert limits[0] is not None
    assert limits[1] is not None
    assert 1 >= limits[0] >= limits[1] - 1e-12
    assert limits[1] >= min(1, shared_share + 0.05) - 1e-12
    assert TEMPLATE_TOKENS > 36


def test_off_asks_nobody() -> None:
    assert reset_prefix_cache(CacheGuard(reset="off"), url="http://127.0.0.1:1") == "off"


def test_a_server_that_is_not_there_is_told_under_auto_and_refused_under_required() -> None:
    assert reset_prefix_cache(AUTO, url="http://127.0.0.1:1").startswith("not reset: ")
    with pytest.raises(BenchError, match=r"field `cache\.reset`: required, but http://127.0.0.1:1/reset_prefix_cache .* VLLM_SERVER_DEV_MODE=1"):
        reset_prefix_cache(CacheGuard(reset="required"), url="http://127.0.0.1:1/v1")
