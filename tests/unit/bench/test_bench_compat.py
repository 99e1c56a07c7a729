"""The same hand-made run by the formulas of other tools."""

from pathlib import Path
from typing import Any

import pytest
from bench_kit import MS, request, workload, write

from bench.results.distributions import weighted
from bench.results.metrics import summarize
from bench.results.summary import Compat


def compat(folder: Path, rows: list[dict[str, Any]]) -> Compat:
    return summarize(write(folder, rows)).compat


def late(index: int) -> dict[str, Any]:
    """Due at 0, sent at 2, role at 12, content from 52 to 92, finish at 292, closed at 302 ms."""
    start = index * 100
    return request(index, empty_choices_ns=[(start + 12) * MS, (start + 292) * MS], closed_ns=(start + 302) * MS)


def test_vllm_takes_the_role_chunk_for_the_first_token_and_the_finish_chunk_for_the_last(tmp_path: Path) -> None:
    vllm = compat(tmp_path, [late(0), late(1)]).vllm
    assert (vllm.ttft_ms.mean, vllm.e2el_ms.mean) == (12, 292)
    assert vllm.tpot_ms.mean == (292 - 12) / 4


def test_vllms_itl_pools_all_gaps_between_events_with_a_choice(tmp_path: Path) -> None:
    itl = compat(tmp_path, [late(0), late(1)]).vllm.itl_ms
    # Of each request: role to first 40, four gaps of 10, last to finish 200.
    assert (itl.count, itl.mean, itl.max, itl.min) == (12, (40 + 4 * 10 + 200) / 6, 200, 10)


def test_vllms_columns_without_any_empty_event_agree_with_ours(tmp_path: Path) -> None:
    summary = summarize(write(tmp_path, [request(0, empty_choices_ns=[]), request(1, empty_choices_ns=[])]))
    assert summary.compat.vllm.ttft_ms.mean == summary.metrics.ttft_ms.mean
    assert summary.compat.vllm.tpot_ms.mean == summary.metrics.tpot_ms.mean
    assert summary.compat.vllm.itl_ms.p99 == summary.metrics.itl_ms.p99


def test_guidellms_tpot_includes_the_time_to_first_token_and_weighs_requests_by_their_tokens(tmp_path: Path) -> None:
    long = request(1, completion_tokens=25)
    guidellm = compat(tmp_path, [late(0), long]).guidellm
    assert guidellm.ttft_ms.mean == 50
    assert guidellm.tpot_ms.mean == pytest.approx((5 * 90 / 5 + 25 * 90 / 25) / 30)
    assert guidellm.itl_ms.mean == pytest.approx((4 * 40 / 4 + 24 * 40 / 24) / 28)
    assert guidellm.itl_ms.p50 == pytest.approx(40 / 24)  # 24 of the 28 weights
    assert guidellm.request_latency_ms.max == 300


def test_guidellm_counts_content_events_where_the_server_sends_no_usage(tmp_path: Path) -> None:
    guidellm = compat(tmp_path, [request(0, completion_tokens=None)]).guidellm
    assert (guidellm.tpot_ms.mean, guidellm.itl_ms.mean) == (90 / 5, 10)


def test_aiperfs_latency_ends_with_the_last_content_and_its_itl_is_one_value_a_request(tmp_path: Path) -> None:
    aiperf = compat(
        tmp_path, [late(0), request(1, completion_tokens=1, chunks=1, last_content_ns=152 * MS), request(2, completion_tokens=20, n_first=4)]
    ).aiperf
    assert aiperf.request_latency_ms.max == 92
    assert (aiperf.itl_ms.count, aiperf.itl_ms.max, aiperf.itl_ms.min) == (2, 10, 2.5)
    assert (aiperf.icl_ms.count, aiperf.icl_ms.mean) == (8, 10)


def test_aiperf_takes_one_token_off_where_the_first_chunk_claims_them_all(tmp_path: Path) -> None:
    assert compat(tmp_path, [request(0, n_first=5)]).aiperf.itl_ms.mean == 10


def test_failed_and_warm_up_requests_are_in_none_of_the_columns(tmp_path: Path) -> None:
    found = compat(tmp_path, [request(0, phase="warmup"), request(1), request(2, status="timeout", completion_tokens=None)])
    counts = [metric["count"] for tool in found.model_dump().values() for metric in tool.values()]
    assert counts == [1, 1, 6, 1, 1, 1, 1, 1, 1, 1, 4, 1]


def test_closed_loop_columns_count_from_the_same_moments(tmp_path: Path) -> None:
    found = summarize(write(tmp_path, [late(0)], workload(arrivals={"kind": "concurrency", "streams": 1}))).compat
    assert (found.vllm.ttft_ms.mean, found.guidellm.ttft_ms.mean, found.aiperf.ttft_ms.mean) == (12, 50, 52)


def test_a_weighted_percentile_is_the_smallest_value_that_reaches_the_share() -> None:
    import numpy as np

    found = weighted(np.array([3.0, 1.0, 2.0, 9.0]), np.array([1.0, 50.0, 49.0, 0.0]))
    assert (found.count, found.p50, found.p90, found.p99, found.max) == (3, 1, 2, 2, 3)
    assert weighted(np.array([]), np.array([])).mean is None


def test_vllm_counts_an_empty_event_between_two_contents(tmp_path: Path) -> None:
    itl = compat(tmp_path, [late(0), request(1, empty_choices_ns=[167 * MS])]).vllm.itl_ms
    # Of the second request: contents at 152, 162, ... 192, and the empty one at 167.
    assert (itl.count, itl.min) == (6 + 5, 5)


def test_vllm_counts_the_empty_events_of_an_answer_without_any_content(tmp_path: Path) -> None:
    silent = request(1, chunks=0, first_content_ns=None, first_visible_ns=None, last_content_ns=None, n_first=None, empty_choices_ns=[112 * MS, 142 * MS])
    vllm = compat(tmp_path, [late(0), silent, late(2)]).vllm
    assert vllm.itl_ms.count == 6 + 1 + 6
    assert (vllm.ttft_ms.count, vllm.ttft_ms.max) == (3, 12)
    assert vllm.e2el_ms.min == 42
