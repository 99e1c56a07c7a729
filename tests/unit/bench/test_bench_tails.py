"""Percentiles with failures as infinite, the token check, and intervals in a run."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from bench_kit import MS, request, workload, write
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.results.metrics import summarize
from bench.results.summary import Summary


def failed(index: int) -> dict[str, Any]:
    return request(index, status="timeout", first_content_ns=None, first_visible_ns=None, last_content_ns=None, chunks=0, completion_tokens=None)


def test_a_percentile_that_failures_reach_is_infinite_and_therefore_null(tmp_path: Path) -> None:
    tail = summarize(write(tmp_path, [request(index) for index in range(95)] + [failed(index) for index in range(95, 100)])).with_failures
    assert (tail.failed_share, tail.ttft_ms.count) == (0.05, 100)
    assert (tail.ttft_ms.p50, tail.ttft_ms.p90, tail.ttft_ms.p95, tail.ttft_ms.p99) == (52, 52, None, None)
    assert (tail.tpot_ms.p90, tail.tpot_ms.p99, tail.e2e_ms.p90, tail.e2e_ms.p99) == (10, None, 92, None)
    assert "5 of 100 requests failed or were cut off (5.00%)" in tail.note


def test_without_failures_the_tail_is_that_of_the_metrics(tmp_path: Path) -> None:
    summary = summarize(write(tmp_path, [request(index, first_content_ns=(index * 101 + 40) * MS) for index in range(9)]))
    for name in ("p50", "p90", "p95", "p99"):
        assert getattr(summary.with_failures.ttft_ms, name) == getattr(summary.metrics.ttft_ms, name)
    assert summary.with_failures.note == ""


def test_the_tail_is_json_and_knows_when_everything_failed(tmp_path: Path) -> None:
    summary = summarize(write(tmp_path, [failed(0), failed(1)]))
    tail = json.loads(summary.model_dump_json())["with_failures"]
    assert (tail["failed_share"], tail["ttft_ms"]["count"], tail["ttft_ms"]["p50"]) == (1, 2, None)


def cut_off(index: int) -> dict[str, Any]:
    return {**failed(index), "status": "cancelled"}


def test_what_the_drain_cut_off_counts_as_infinitely_slow_and_what_an_interruption_did_does_not(tmp_path: Path) -> None:
    rows = [request(index) for index in range(9)] + [cut_off(9)]
    slo = workload(slo={"ttft_ms": 1000})
    drained = summarize(write(tmp_path, rows, slo))
    assert (drained.with_failures.ttft_ms.count, drained.with_failures.ttft_ms.p95) == (10, None)
    assert (drained.requests.cancelled, drained.requests.failed) == (1, 0)
    assert drained.goodput is not None
    assert drained.goodput.share == 0.9
    interrupted = summarize(write(tmp_path, rows, slo, state="interrupted"))
    assert (interrupted.with_failures.ttft_ms.count, interrupted.with_failures.failed_share) == (9, 0)


def check(folder: Path, **changes: Any) -> Summary:
    return summarize(write(folder, [request(index, **changes) for index in range(20)]))


def test_usage_that_agrees_with_the_stream_passes(tmp_path: Path) -> None:
    found = check(tmp_path).token_check
    assert (found.by, found.usage_tokens, found.received_tokens, found.mismatch, found.agrees) == ("chunks", 100, 100, 0, True)


def test_a_server_that_claims_fewer_tokens_than_it_sent_is_told(tmp_path: Path) -> None:
    summary = check(tmp_path, completion_tokens=4)
    assert (summary.token_check.mismatch, summary.token_check.agrees) == (0.25, False)
    assert summary.token_check.note in summary.notes
    assert "25.0% differ" in summary.token_check.note


def test_the_token_that_ends_an_answer_is_no_mismatch_but_a_second_one_is(tmp_path: Path) -> None:
    assert check(tmp_path, chunks=5, text_tokens=4, finish_reason="stop").token_check.agrees is True
    assert check(tmp_path, chunks=5, text_tokens=4, finish_reason="length").token_check.agrees is False
    assert check(tmp_path, chunks=5, text_tokens=3, finish_reason="stop").token_check.agrees is False


def test_the_tokenizers_count_goes_before_that_of_the_chunks(tmp_path: Path) -> None:
    found = check(tmp_path, completion_tokens=20, text_tokens=20).token_check
    assert (found.by, found.received_tokens, found.agrees) == ("text", 400, True)


def test_several_tokens_a_chunk_cannot_be_checked_without_a_tokenizer(tmp_path: Path) -> None:
    found = check(tmp_path, completion_tokens=20).token_check
    assert (found.by, found.agrees, found.mismatch) == (None, None, None)
    assert "no tokenizer" in found.note
    assert "no usage" in check(tmp_path, completion_tokens=None).token_check.note


def noisy(count: int, *, rho: float = 0.0) -> list[dict[str, Any]]:
    """Times to first content of 52 ms and about 10 ms of noise."""
    draw, drift, rows = random.Random(1), 0.0, []
    for index in range(count):
        drift = rho * drift + draw.gauss(0, 1)
        rows.append(request(index, first_content_ns=index * 100 * MS + round((52 + 5 * drift) * MS)))
    return rows


def test_percentiles_have_intervals_of_order_statistics(tmp_path: Path) -> None:
    ttft = summarize(write(tmp_path, noisy(400))).metrics.ttft_ms
    for name in ("mean", "p50", "p90", "p95", "p99"):
        interval = getattr(ttft.interval_95, name)
        assert interval[0] < getattr(ttft, name) < interval[1]
    assert ttft.note == ""


def test_an_interval_for_too_few_samples_is_withheld_with_the_number_it_takes(tmp_path: Path) -> None:
    ttft = summarize(write(tmp_path, noisy(40))).metrics.ttft_ms
    assert ttft.interval_95.p90 is not None
    assert (ttft.interval_95.mean, ttft.interval_95.p95, ttft.interval_95.p99) == (None, None, None)
    assert ttft.note == "too few samples for the intervals of p95 (72), p99 (368)"


def test_dependent_samples_have_no_order_statistic_intervals_but_one_of_batch_means(tmp_path: Path) -> None:
    metrics = summarize(write(tmp_path, noisy(500, rho=0.8))).metrics
    assert (metrics.ttft_ms.interval_95.p50, metrics.ttft_ms.interval_95.p99) == (None, None)
    assert metrics.ttft_ms.interval_95.mean is not None
    assert "resemble one another" in metrics.ttft_ms.note
    assert metrics.chunk_gap_ms.interval_95.p50 is None
    assert "depend on one another" in metrics.chunk_gap_ms.note


def test_goodput_has_wilsons_interval_and_may_limit_the_whole_latency(tmp_path: Path) -> None:
    rows = [request(index, last_content_ns=(index * 100 + (92 if index % 4 else 120)) * MS) for index in range(40)]
    goodput = summarize(write(tmp_path, rows, workload(slo={"e2e_ms": 100}))).goodput
    assert goodput is not None
    assert (goodput.good, goodput.share) == (30, 0.75)
    assert goodput.interval_95 == pytest.approx((0.5981, 0.8581), abs=1e-4)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["ok", "timeout", "cancelled"]), st.integers(1, 80), st.integers(0, 9)), min_size=1, max_size=30))
def test_no_mixture_of_answers_breaks_the_summary_and_the_shares_add_up(tmp_path_factory: pytest.TempPathFactory, answers: list[tuple[str, int, int]]) -> None:
    rows = [
        request(index, status=status, first_content_ns=(index * 100 + first) * MS, completion_tokens=tokens if status == "ok" else None)
        for index, (status, first, tokens) in enumerate(answers)
    ]
    summary = summarize(write(tmp_path_factory.mktemp("run"), rows, workload(slo={"ttft_ms": 40})))
    requests, tail = summary.requests, summary.with_failures
    assert requests.sent == requests.ok + requests.failed + requests.cancelled
    assert tail.ttft_ms.count == requests.sent
    if tail.ttft_ms.p50 is not None and summary.metrics.ttft_ms.p50 is not None:
        assert tail.ttft_ms.p50 >= summary.metrics.ttft_ms.p50
