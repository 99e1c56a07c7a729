"""Whether the server stayed on one level, and what that does to the window of the rates."""

import random
from pathlib import Path
from typing import Any

import pytest
from bench_kit import MS, request, write

from bench.results.metrics import summarize


def run(count: int, ttft_ms: Any, *, gap_ms: int = 100) -> list[dict[str, Any]]:
    """A request each 100 ms, whose first content comes `ttft_ms(index)` after it was due; 5 tokens 10 ms apart."""
    draw, rows = random.Random(4), []
    for index in range(count):
        start, first = index * gap_ms, ttft_ms(index) + draw.uniform(-1, 1)
        rows.append(
            request(
                index,
                first_content_ns=round((start + first) * MS),
                first_visible_ns=round((start + first) * MS),
                last_content_ns=round((start + first) * MS) + 40 * MS,
                closed_ns=round((start + first) * MS) + 50 * MS,
            )
        )
    return rows


def test_a_run_on_one_level_is_steady(tmp_path: Path) -> None:
    summary = summarize(write(tmp_path, run(200, lambda _: 52)))
    assert summary.steady.steady is True
    assert summary.steady.output is not None
    assert summary.steady.output.batches == 20
    assert not [note for note in summary.notes if "steady" in note]


def test_a_server_that_slows_down_half_way_is_not_steady_and_the_note_says_when(tmp_path: Path) -> None:
    summary = summarize(write(tmp_path, run(200, lambda index: 52 if index < 100 else 80)))
    assert summary.steady.steady is False
    assert summary.steady.ttft is not None
    assert summary.steady.ttft.shift_at_s == pytest.approx(10, abs=1.1)
    assert summary.steady.ttft.shift == pytest.approx(28 / 52, abs=0.05)
    (note,) = [note for note in summary.notes if "steady" in note]
    assert "time to first token rose by 5" in note


def test_a_transient_at_the_start_is_cut_from_the_window_but_stays_in_the_latencies(tmp_path: Path) -> None:
    summary = summarize(write(tmp_path, run(200, lambda index: 90 if index < 20 else 52)))
    assert summary.steady.steady is True
    assert summary.steady.from_s == 2
    assert summary.window is not None
    assert (summary.window.kind, summary.window.start_s) == ("steady", 2)
    assert (summary.metrics.ttft_ms.max or 0) > 85
    assert summary.rates.requests_per_s == pytest.approx(10, rel=0.02)


def test_too_few_requests_are_not_judged(tmp_path: Path) -> None:
    summary = summarize(write(tmp_path, run(40, lambda _: 52)))
    assert summary.steady.steady is None
    assert "50 requests" in summary.steady.note
    assert "too short" in summarize(write(tmp_path, run(1, lambda _: 52))).steady.note
