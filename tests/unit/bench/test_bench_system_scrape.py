import contextlib
import json
from string import printable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.system.readings import Reading, UnreadableError
from bench.system.scrape import parse_page

PAGE = """\
# HELP python_info Python platform information
# TYPE python_info gauge
python_info{implementation="CPython"} 1.0
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
# HELP vllm:prefix_cache_hits_total Prefix cache hits, in terms of number of cached tokens.
# TYPE vllm:prefix_cache_hits_total counter
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 128.0
vllm:prefix_cache_hits_created{engine="0",model_name="m"} 1.7e+09
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="m"} 1.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="m"} 0.25
vllm:time_to_first_token_seconds_count{engine="0",model_name="m"} 2.0
# TYPE vllm:lora_requests_info gauge
vllm:lora_requests_info{max_lora="0"} 1.0
"""


def test_of_a_page_only_what_is_kept_comes_back_without_the_prefix() -> None:
    found = {(reading.metric, json.loads(reading.labels).get("le")): reading.value for reading in parse_page(PAGE)}
    assert found == {
        ("num_requests_running", None): 3,
        ("prefix_cache_hits_total", None): 128,
        ("time_to_first_token_seconds_bucket", "0.1"): 1,
        ("time_to_first_token_seconds_sum", None): 0.25,
        ("time_to_first_token_seconds_count", None): 2,
    }


def test_equal_labels_are_equal_text_in_whatever_order_they_came() -> None:
    one, other = (f"vllm:num_requests_running{{{labels}}} 1\n" for labels in ('a="1",b="2"', 'b="2",a="1"'))
    assert parse_page(one) == parse_page(other) == (Reading("num_requests_running", '{"a":"1","b":"2"}', 1.0),)


@pytest.mark.parametrize("page", ["", "<html>hello</html>", "python_info 1\n", "# TYPE vllm:num_requests_running gauge\n"])
def test_a_page_without_any_of_the_engines_metrics_says_so(page: str) -> None:
    with pytest.raises(UnreadableError, match="none of vLLM's metrics"):
        parse_page(page)


@pytest.mark.parametrize("page", ["vllm:num_requests_running{{{ 1\n", "vllm:num_requests_running many\n", 'vllm:num_requests_running{a="1" 1\n'])
def test_garbage_where_metrics_should_be_is_a_reason_and_no_crash(page: str) -> None:
    with pytest.raises(UnreadableError, match="not Prometheus' text format"):
        parse_page(page)


@given(st.lists(st.sampled_from(PAGE.splitlines()) | st.text(printable).map(lambda text: f"vllm:{text}")))
def test_whatever_a_page_holds_gives_readings_or_a_reason(lines: list[str]) -> None:
    with contextlib.suppress(UnreadableError):
        assert all(isinstance(reading.value, float) for reading in parse_page("\n".join(lines)))
