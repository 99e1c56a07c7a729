"""Each definition of docs/metrics.md on stamps that can be checked by hand."""

from pathlib import Path

import bench_kit
import pytest
from bench_kit import MS, request, workload, write

from bench import BenchError
from bench.results.metrics import summarize

CLOSED = {"kind": "concurrency", "streams": 1}


def test_open_loop_latency_counts_from_the_intended_time(tmp_path: Path) -> None:
    metrics = summarize(write(tmp_path, [request(0), request(1), request(2)])).metrics
    assert (metrics.ttft_ms.mean, metrics.ttft_from_sent_ms.mean) == (52, 50)
    assert (metrics.e2e_ms.p50, metrics.e2e_closed_ms.p50, metrics.send_lag_ms.p50) == (92, 102, 2)


def test_closed_loop_latency_counts_from_the_write(tmp_path: Path) -> None:
    metrics = summarize(write(tmp_path, [request(0), request(1), request(2)], workload(arrivals=CLOSED))).metrics
    assert (metrics.ttft_ms.mean, metrics.e2e_ms.mean, metrics.e2e_closed_ms.mean) == (50, 90, 100)


def test_tpot_leaves_the_first_chunk_out_and_is_undefined_for_a_single_token(tmp_path: Path) -> None:
    single = request(1, completion_tokens=1, chunks=1, last_content_ns=152 * MS)
    metrics = summarize(write(tmp_path, [request(0), single])).metrics
    assert (metrics.tpot_ms.count, metrics.tpot_ms.mean) == (1, 10)


def test_tpot_uses_what_the_first_chunk_held_where_the_server_tells(tmp_path: Path) -> None:
    metrics = summarize(write(tmp_path, [request(0, completion_tokens=20, n_first=4)])).metrics
    assert metrics.tpot_ms.mean == 40 / 16


def test_chunk_gaps_never_span_two_requests(tmp_path: Path) -> None:
    metrics = summarize(write(tmp_path, [request(0), request(1)])).metrics
    assert (metrics.chunk_gap_ms.count, metrics.chunk_gap_ms.max) == (8, 10)
    assert metrics.itl_ms == metrics.chunk_gap_ms


def test_gaps_are_not_called_inter_token_latency_when_chunks_carry_several_tokens(tmp_path: Path) -> None:
    summary = summarize(write(tmp_path, [request(0, completion_tokens=20)]))
    assert summary.tokens_per_chunk == 4
    assert (summary.metrics.itl_ms.count, summary.metrics.itl_ms.mean) == (0, None)
    assert "4.00 tokens" in summary.metrics.itl_ms.note
    assert summary.metrics.chunk_gap_ms.count == 4


def test_the_first_visible_token_is_told_apart_from_the_first_reasoning_token(tmp_path: Path) -> None:
    metrics = summarize(write(tmp_path, [request(0, first_visible_ns=72 * MS)])).metrics
    assert (metrics.ttft_ms.mean, metrics.ttft_visible_ms.mean) == (52, 72)


def test_failures_are_counted_by_class_and_leave_the_latencies_alone(tmp_path: Path) -> None:
    rows = [
        request(0),
        request(1, status="truncated", completion_tokens=None),
        request(2, status="http_503", http_status=503, first_content_ns=None, first_visible_ns=None, last_content_ns=None, chunks=0, completion_tokens=None),
        request(3, status="cancelled", completion_tokens=None),
    ]
    summary = summarize(write(tmp_path, rows))
    requests = summary.requests
    assert (requests.sent, requests.ok, requests.failed, requests.cancelled) == (4, 1, 2, 1)
    assert requests.by_class == {"http_503": 1, "truncated": 1}
    assert summary.metrics.ttft_ms.count == 1


def test_warm_up_requests_are_in_no_figure(tmp_path: Path) -> None:
    slow = request(0, phase="warmup", first_content_ns=90 * MS)
    summary = summarize(write(tmp_path, [slow, request(1), request(2)]))
    assert (summary.requests.warmup, summary.requests.sent, summary.metrics.ttft_ms.max) == (1, 2, 52)


def test_closed_loop_rates_end_where_the_load_does(tmp_path: Path) -> None:
    """Two streams, the second slower: full load ends when the first of them finds nothing left to send, at 102 ms."""
    rows = [
        request(0, sent_ns=0, closed_ns=100 * MS),
        request(1, intended_ns=0, dispatched_ns=0, sent_ns=0, first_content_ns=50 * MS, last_content_ns=190 * MS, closed_ns=200 * MS),
    ]
    summary = summarize(write(tmp_path, rows, workload(arrivals={"kind": "concurrency", "streams": 2, "ramp_s": 0})))
    assert summary.window is not None
    assert (summary.window.kind, summary.window.start_s, summary.window.end_s) == ("steady", 0, 0.1)
    assert summary.rates.requests_per_s == pytest.approx((1 + 0.5) / 0.1)
    assert summary.rates.output_tokens_per_s == pytest.approx((5 + 2) / 0.1)
    assert summary.whole_run_rates.requests_per_s == pytest.approx(2 / 0.2)


def test_open_loop_rates_run_from_the_first_answer_to_the_last_arrival(tmp_path: Path) -> None:
    summary = summarize(write(tmp_path, [request(index) for index in range(11)]))
    assert summary.window is not None
    assert (summary.window.start_s, summary.window.end_s) == (0.102, 1.0)
    assert summary.rates.requests_per_s == pytest.approx(10, rel=0.02)
    assert summary.rates.output_tokens_per_s == pytest.approx(50, rel=0.02)
    assert summary.rates.offered_requests_per_s == pytest.approx(9 / 0.898)


def test_a_run_too_short_for_a_steady_window_says_so(tmp_path: Path) -> None:
    summary = summarize(write(tmp_path, [request(0)]))
    assert summary.window is not None
    assert summary.window.kind == "whole_run"
    assert any("too short" in note for note in summary.notes)


def test_without_a_usage_block_tokens_are_unknown_rather_than_guessed(tmp_path: Path) -> None:
    summary = summarize(write(tmp_path, [request(index, completion_tokens=None, prompt_tokens=None) for index in range(3)]))
    assert (summary.rates.output_tokens_per_s, summary.rates.input_tokens_per_s, summary.metrics.tpot_ms.count) == (None, None, 0)
    assert "usage" in summary.notes[0]
    assert "usage" in summary.metrics.itl_ms.note


def test_goodput_counts_a_failure_as_a_miss_and_a_single_token_as_no_tpot_miss(tmp_path: Path) -> None:
    rows = [
        request(0),
        request(1, completion_tokens=1, chunks=1, last_content_ns=152 * MS),
        request(2, first_content_ns=270 * MS),
        request(3, status="timeout", completion_tokens=None),
    ]
    goodput = summarize(write(tmp_path, rows, workload(slo={"ttft_ms": 60, "tpot_ms": 10}))).goodput
    assert goodput is not None
    assert (goodput.good, goodput.share) == (2, 0.5)


def test_percentiles_below_the_floor_are_not_certified_and_say_how_many_samples_are_missing(tmp_path: Path) -> None:
    ttft = summarize(write(tmp_path, [request(index) for index in range(100)])).metrics.ttft_ms
    assert (ttft.certified.p90, ttft.certified.p95, ttft.certified.p99) == (52, None, None)
    assert (ttft.missing_samples.p90, ttft.missing_samples.p95, ttft.missing_samples.p99) == (0, 30, 562)


@pytest.mark.parametrize(
    ("health", "rows", "reason"),
    [
        ({"cpu_share": 0.97}, {}, "97% of a core"),
        ({"loop_lag_ms_mean": 4.0}, {}, "mean event-loop lag"),
        ({"loop_lag_ms_p99": 40.0}, {}, "p99 event-loop lag"),
        ({}, {"dispatched_ns": 5 * MS, "sent_ns": 5 * MS}, "mean send lag"),
    ],
)
def test_a_client_that_could_not_keep_up_makes_the_run_invalid(tmp_path: Path, health: dict[str, float], rows: dict[str, int], reason: str) -> None:
    summary = summarize(write(tmp_path, [request(0, **rows)], client=bench_kit.HEALTH.model_copy(update=health)))
    assert not summary.valid
    assert reason in summary.invalid_reasons[0]


def test_waiting_for_a_connection_is_the_servers_delay_and_not_ours(tmp_path: Path) -> None:
    assert summarize(write(tmp_path, [request(0, sent_ns=40 * MS)])).valid


@pytest.mark.parametrize(("state", "words"), [("interrupted", "interrupted"), ("given_up", "none of the first requests")])
def test_a_run_that_was_cut_short_is_marked(tmp_path: Path, state: str, words: str) -> None:
    summary = summarize(write(tmp_path, [request(0)], state=state))
    assert (summary.state, summary.valid) == (state, False)
    assert words in summary.invalid_reasons[0]


def test_files_that_are_not_the_samples_of_one_run_are_refused(tmp_path: Path) -> None:
    write(tmp_path, [request(0), request(1)])
    (tmp_path / "other").mkdir()
    write(tmp_path / "other", [request(5)])
    from bench.results.files import REQUESTS, TOKENS
    from bench.results.samples import read_samples

    with pytest.raises(BenchError, match="do not belong together"):
        read_samples(tmp_path / REQUESTS, tmp_path / "other" / TOKENS)
    with pytest.raises(BenchError, match="not the samples"):
        read_samples(tmp_path / TOKENS, tmp_path / REQUESTS)


def test_waiting_behind_a_cap_counts_as_latency_and_is_no_fault_of_the_client(tmp_path: Path) -> None:
    waited = request(0, due_ns=40 * MS, dispatched_ns=40 * MS, sent_ns=42 * MS)
    summary = summarize(write(tmp_path, [waited]))
    assert (summary.valid, summary.metrics.ttft_ms.mean, summary.metrics.ttft_from_sent_ms.mean) == (True, 52, 10)
