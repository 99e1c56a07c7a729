"""Limits are read, and a run is held against them."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from bench_kit import HEALTH, request, workload, write
from hypothesis import given
from hypothesis import strategies as st

from bench.capacity.level import OUT_OF_TIME, Judgement, judge, parse_duration_s, parse_level
from bench.capacity.plan import Sizes, open_probe
from bench.capacity.watch import Watch
from bench.errors import BenchError
from bench.load.progress import Progress
from bench.results.metrics import summarize

P90 = parse_level("ttft_p90=60ms")


def judged(place: Path, rows: list[dict[str, Any]], level: str = "ttft_p90=60ms", *, certify: bool = True, **run: Any) -> Judgement:
    samples = write(place, rows, workload(), **run)
    return judge(summarize(samples), parse_level(level), certify=certify, reason=samples.run.reason)


def rows(count: int, *, slow: int = 0) -> list[dict[str, Any]]:
    """TTFT of 52 ms; the first `slow` ones of 92 ms."""
    return [request(index, **({"first_content_ns": index * 100_000_000 + 92_000_000} if index < slow else {})) for index in range(count)]


def test_limits_are_read_with_their_units() -> None:
    level = parse_level("ttft_p99=0.5s, tpot_p90=50ms,e2e_p95=2s,error_rate=1%")
    assert [str(limit) for limit in level.limits] == ["ttft_p99 <= 500 ms", "tpot_p90 <= 50 ms", "e2e_p95 <= 2000 ms"]
    assert (level.error_rate, level.floor, P90.floor, P90.error_rate) == (0.01, 662, 64, 0.0)


def test_a_preset_is_a_pair_of_p99_limits() -> None:
    level = parse_level("mlperf-llama2-70b-server")
    assert [str(limit) for limit in level.limits] == ["ttft_p99 <= 2000 ms", "tpot_p99 <= 200 ms"]
    assert level.preset == "mlperf-llama2-70b-server"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ttft_p99", "give each limit once"),
        ("ttft_p99=500", "with its unit"),
        ("ttft_p99=0ms", "above 0"),
        ("ttft_p99=-5ms", "above 0"),
        ("ttft_p98=5ms", "no limit 'ttft_p98'"),
        ("itl_p99=5ms", "no limit 'itl_p99'"),
        ("ttft_p99=5ms,ttft_p99=6ms", "once"),
        ("error_rate=1%", "at least one limit"),
        ("ttft_p99=5ms,error_rate=100%", "below 1"),
        ("", "give each limit once"),
    ],
)
def test_a_wrong_limit_is_named(text: str, words: str) -> None:
    with pytest.raises(BenchError, match="--slo") as caught:
        parse_level(text)
    assert words in str(caught.value)


@given(value=st.integers(1, 10_000), unit=st.sampled_from([("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)]))
def test_a_duration_is_its_number_times_its_unit(value: int, unit: tuple[str, float]) -> None:
    assert parse_duration_s(f"{value}{unit[0]}", field="x") == value * unit[1]


@given(st.text(max_size=8))
def test_any_text_is_a_level_or_a_fault_a_user_can_mend(text: str) -> None:
    with contextlib.suppress(BenchError):
        assert parse_level(text).limits


def test_a_run_within_its_limits_meets_the_level(tmp_path: Path) -> None:
    found = judged(tmp_path, rows(80))
    assert (found.outcome, found.certified) == ("meets", True)
    assert found.reasons == ("ttft_p90 <= 60 ms: 52 ms",)


def test_below_the_floor_the_percentile_is_the_samples_own_and_marked_so(tmp_path: Path) -> None:
    found = judged(tmp_path, rows(20))
    assert (found.outcome, found.certified) == ("meets", False)
    assert "not certified" in found.reasons[0]


def test_what_a_sample_suggests_is_not_always_certified(tmp_path: Path) -> None:
    """3 of 80 slow: p90 of the sample is fast, but 80 samples only allow the largest but one."""
    assert judged(tmp_path, rows(80, slow=3), certify=False).outcome == "meets"
    assert judged(tmp_path, rows(80, slow=3), certify=True).outcome == "misses"


def test_failed_requests_count_against_the_level_unless_it_allows_them(tmp_path: Path) -> None:
    failing = [*rows(79), request(79, status="http_503", http_status=503, first_content_ns=None, last_content_ns=None, chunks=0, completion_tokens=None)]
    found = judged(tmp_path, failing)
    assert found.outcome == "misses"
    assert "1 of 80 requests failed" in found.reasons[0]
    assert judged(tmp_path, failing, "ttft_p90=60ms,error_rate=2%").outcome == "meets"


def test_a_client_that_could_not_keep_up_says_nothing_of_the_server(tmp_path: Path) -> None:
    found = judged(tmp_path, rows(80, slow=80), client=HEALTH.model_copy(update={"cpu_share": 0.99}))
    assert found.outcome == "invalid"
    assert "client-bound" in found.reasons[0]


def test_a_run_out_of_time_is_unfinished_and_one_that_was_out_of_reach_misses(tmp_path: Path) -> None:
    assert judged(tmp_path, rows(80), state="stopped", reason=OUT_OF_TIME).outcome == "unfinished"
    assert judged(tmp_path, rows(80), state="interrupted").outcome == "unfinished"
    assert judged(tmp_path, rows(80), state="stopped", reason="the level is out of reach").outcome == "misses"


def test_a_metric_the_workload_does_not_have_is_named(tmp_path: Path) -> None:
    single = [request(index, completion_tokens=1, chunks=1, last_content_ns=(index * 100 + 52) * 1_000_000) for index in range(3)]
    with pytest.raises(BenchError, match="tpot is unknown"):
        judged(tmp_path, single, "tpot_p90=50ms")


def progress(elapsed_s: float, *waits: float, in_flight: int = 1, failed: int = 0) -> Progress:
    return Progress(elapsed_s=elapsed_s, sent=0, over=0, failed=failed, in_flight=in_flight, bytes_read=0, first_byte_ms=waits)


def watch(**changes: Any) -> Watch:
    return Watch(open_probe(workload(), P90, 4.0, confirm=False, sizes=Sizes()), P90, **{"deadline_s": None, **changes})


def test_a_probe_goes_on_while_its_level_is_within_reach() -> None:
    """64 planned: 7 above the limit leave p90 within reach, 8 do not."""
    watching = watch()
    assert watching(progress(1, *[80.0] * 7, *[20.0] * 10)) is None
    assert "out of reach" in (watching(progress(2, 80.0)) or "")


def test_reported_latencies_are_held_against_every_limit() -> None:
    level = parse_level("ttft_p90=1s,tpot_p90=50ms")
    watching = Watch(open_probe(workload(), level, 4.0, confirm=False, sizes=Sizes()), level, deadline_s=None)
    slow = Progress(elapsed_s=1, sent=9, over=9, failed=0, in_flight=1, bytes_read=0, first_byte_ms=(5000.0,) * 9, latencies=((20.0, 60.0, 400.0),) * 9)
    assert "a tpot of more than 50 ms" in (watching(slow) or "")


def test_a_probe_ends_when_the_time_is_up() -> None:
    assert watch(deadline_s=10.0, clock=lambda: 10.5)(progress(1)) == OUT_OF_TIME
    assert watch(deadline_s=10.0, clock=lambda: 9.5)(progress(1)) is None


def test_a_probe_ends_on_more_failures_than_the_level_allows() -> None:
    assert "failed" in (watch()(progress(1, failed=1)) or "")


def test_a_growing_queue_ends_a_probe_with_no_limit_on_the_first_token() -> None:
    level = parse_level("e2e_p90=100s")
    watching = Watch(open_probe(workload(), level, 4.0, confirm=False, sizes=Sizes()), level, deadline_s=None)
    said = [watching(progress(tick / 4, 100.0 + 50 * tick, in_flight=4 * tick)) for tick in range(1, 200)]
    assert any(words and "over-saturated" in words for words in said)
    steady = Watch(open_probe(workload(), level, 4.0, confirm=False, sizes=Sizes()), level, deadline_s=None)
    assert not any(steady(progress(tick / 4, 100.0 + tick % 5, in_flight=10 + tick % 3)) for tick in range(1, 200))
