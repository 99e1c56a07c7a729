"""Hand-made runs with a watch beside them: each request of `bench_kit` has ttft 50 ms from sent, gaps of 10 ms, e2e 90 ms from sent."""

from pathlib import Path
from typing import Any

import pytest
from bench_kit import request, workload, write
from system_kit import ENGINE, Sample, counters, watch

from bench.evidence import figures
from bench.results.metrics import summarize
from bench.results.summary import Summary
from bench.system.models import SystemView
from bench.system.table import write_table
from bench.system.view import alarm
from bench.system.words import lines

TRUE = {"ttft_s": 0.048, "itl_s": 0.010, "e2e_s": 0.088}


def summary(folder: Path, *samples: Sample, rows: list[dict[str, Any]] | None = None, **watched: Any) -> Summary:
    """Of 20 requests (or `rows`) sent 100 ms apart, and what the watch saw."""
    watch(folder, *samples, **watched)
    return summarize(write(folder, rows or [request(index) for index in range(20)]))


def view(folder: Path, *samples: Sample, **options: Any) -> SystemView:
    found = summary(folder, *samples, **options).system
    assert found is not None
    return found


def around(requests: int, **means: float) -> tuple[Sample, Sample]:
    """The engine's counters before and after the run."""
    return (-0.1, "engine", counters(7, **(TRUE | means))), (9.0, "engine", counters(7 + requests, **(TRUE | means)))


def test_a_server_that_saw_what_the_client_saw_raises_no_alarm(tmp_path: Path) -> None:
    found = summary(tmp_path, *around(20))
    system = found.system
    assert system is not None
    assert (system.ttft.server_ms, system.ttft.client_ms, system.ttft.server_count) == (pytest.approx(48), pytest.approx(50), 20)
    assert (system.itl.server_ms, system.itl.client_ms, system.itl.client_count) == (pytest.approx(10), pytest.approx(10), 80)
    assert (system.e2e.server_ms, system.e2e.client_ms) == (pytest.approx(88), pytest.approx(90))
    assert (system.offered.sent, system.offered.answered, system.offered.server, system.offered.reason) == (20, 20, 20, "")
    assert (system.alarms, system.invalid_reasons, found.valid) == ((), (), True)


def test_a_client_that_measured_much_more_than_the_server_raises_an_alarm_that_says_so(tmp_path: Path) -> None:
    system = view(tmp_path, *around(20, ttft_s=0.030))
    assert system.alarms[0].startswith("ttft: the client measured 20.0 ms more than the server's 30.0 ms: time is spent where the engine does not look")


def test_a_client_that_measured_less_than_the_server_raises_the_other_alarm(tmp_path: Path) -> None:
    system = view(tmp_path, *around(20, e2e_s=0.150))
    assert [each.split(":")[0] for each in system.alarms] == ["e2e"]
    assert "60.0 ms less than the server's 150.0 ms" in system.alarms[0]


@pytest.mark.parametrize(("server_ms", "client_ms", "alarms"), [(10, 15, False), (10, 15.1, True), (200, 220, False), (200, 220.1, True), (200, 179.9, True)])
def test_the_larger_of_ten_percent_and_five_milliseconds_is_allowed(server_ms: float, client_ms: float, alarms: bool) -> None:
    assert bool(alarm(server_ms=server_ms, client_ms=client_ms)) is alarms


def test_a_server_that_worked_for_others_too_makes_the_run_invalid(tmp_path: Path) -> None:
    found = summary(tmp_path, *around(40))
    assert not found.valid
    assert "the server answered 40 requests while 20 were sent to it" in found.invalid_reasons[0]


def test_answers_that_came_from_elsewhere_make_the_run_invalid(tmp_path: Path) -> None:
    found = summary(tmp_path, *around(10))
    assert not found.valid
    assert "the server counted 10 requests of 20 that were answered" in found.invalid_reasons[0]


def test_a_few_requests_more_or_less_are_no_reason(tmp_path: Path) -> None:
    assert view(tmp_path, *around(25)).invalid_reasons == ()
    assert view(tmp_path, *around(15)).invalid_reasons == ()


def test_cut_off_and_resent_requests_may_be_counted_by_the_server_and_rejected_ones_are_not_expected(tmp_path: Path) -> None:
    silent = {"first_content_ns": None, "first_visible_ns": None, "last_content_ns": None, "chunks": 0}
    cut = request(20, status="timeout", **silent)
    rejected = [request(index, status="http_429", http_status=429, **silent) for index in range(21, 40)]
    refused = request(40, status="refused", http_status=None, sent_ns=None, **silent)
    rows = [*(request(index, resent=index == 0) for index in range(20)), cut, *rejected, refused]
    offered = view(tmp_path, *around(20), rows=rows).offered
    assert (offered.sent, offered.answered, offered.server, offered.reason) == (22, 20, 20, "")


def test_an_unread_engine_leaves_everything_of_it_unknown_with_the_reason(tmp_path: Path) -> None:
    found = summary(tmp_path, (0, "host", {"cpu_percent": 50}), failed={"engine": "HTTP 404"})
    assert found.system is not None
    assert found.valid
    assert (found.system.offered.server, found.system.ttft.server_ms, found.system.prefix_cache_hit_rate, found.system.running) == (None, None, None, None)
    assert found.system.offered.reason == found.system.ttft.reason == "the engine's metrics could not be read: HTTP 404"
    assert next(iter(lines(found.system))) == "system: the server's metrics are unknown: http://127.0.0.1:1/metrics: HTTP 404"


def test_counters_first_read_after_the_first_request_are_not_compared(tmp_path: Path) -> None:
    system = view(tmp_path, (0.5, "engine", counters(5, **TRUE)), (9, "engine", counters(20, **TRUE)))
    assert system.offered.reason == "the engine's metrics were first read after the first request"
    assert system.ttft.server_ms is None


def test_counters_last_read_before_the_last_answer_are_not_compared(tmp_path: Path) -> None:
    system = view(tmp_path, (-1, "engine", counters(0, **TRUE)), (1, "engine", counters(9, **TRUE)))
    assert system.offered.reason == "the engine's metrics were last read before the last answer"


def test_an_engine_that_was_started_anew_during_the_run_is_not_compared(tmp_path: Path) -> None:
    system = view(tmp_path, (-1, "engine", counters(50, **TRUE)), (9, "engine", counters(20, **TRUE)))
    assert "started anew" in system.offered.reason
    assert system.invalid_reasons == ()


def test_a_counter_that_appears_during_the_run_began_at_nothing(tmp_path: Path) -> None:
    system = view(tmp_path, (-1, "engine", {"num_requests_running": 0}), (9, "engine", counters(20, **TRUE)))
    assert system.offered.server == 20


def test_chunks_of_several_tokens_have_gaps_that_are_no_inter_token_latency(tmp_path: Path) -> None:
    system = view(tmp_path, *around(20), rows=[request(index, completion_tokens=20) for index in range(20)])
    assert system.itl.server_ms is None
    assert "chunks carry 4.00 tokens" in system.itl.reason
    assert system.e2e.server_ms is not None


def test_the_hit_rate_is_that_of_the_run_and_not_of_the_servers_life(tmp_path: Path) -> None:
    before = counters(7, prefix_cache_queries_total=10_000, prefix_cache_hits_total=9_000, num_preemptions_total=4, **TRUE)
    after = counters(27, prefix_cache_queries_total=10_400, prefix_cache_hits_total=9_010, num_preemptions_total=5, **TRUE)
    system = view(tmp_path, (-1, "engine", before), (9, "engine", after))
    assert (system.prefix_cache_queries, system.prefix_cache_hits, system.prefix_cache_hit_rate, system.preemptions) == (400, 10, 0.025, 1)
    assert system.prompt_tokens_mean == 3


def test_gauges_are_described_over_the_window_alone(tmp_path: Path) -> None:
    host: list[Sample] = [(second, "host", {"cpu_percent": percent}) for second, percent in ((-1, 99), (0.5, 10), (1.0, 30), (1.5, 20), (9, 99))]
    system = view(tmp_path, *around(20), *host)
    gauge = next(each for each in system.gauges if each.metric == "cpu_percent")
    assert (gauge.source, gauge.samples, gauge.min, gauge.mean, gauge.max) == ("host", 3, 10, 20, 30)
    assert all(not each.metric.endswith(("_total", "_sum", "_count", "_bucket")) for each in system.gauges)


def test_queues_of_several_engines_are_added_up_moment_by_moment(tmp_path: Path) -> None:
    watch(tmp_path, *around(20))
    path = tmp_path / "samples.jsonl"
    written = path.read_text()
    for engine, waiting in (("0", (1, 5)), ("1", (4, 2))):
        rows = [(0.5, "engine", {"num_requests_waiting": waiting[0]}), (1.0, "engine", {"num_requests_waiting": waiting[1]})]
        watch(tmp_path, *rows, labels=ENGINE | {"engine": engine})
        written += path.read_text()
    path.write_text(written)
    write_table(path, tmp_path, started_ns=0)
    system = summarize(write(tmp_path, [request(index) for index in range(20)])).system
    assert system is not None
    assert system.waiting is not None
    assert (system.waiting.min, system.waiting.mean, system.waiting.max) == (5, 6, 7)


def test_of_a_server_with_several_models_the_one_that_was_asked_counts(tmp_path: Path) -> None:
    watch(tmp_path, *around(100), labels=ENGINE | {"model_name": "other"})
    other = (tmp_path / "samples.jsonl").read_text()
    watch(tmp_path, *around(20))
    with (tmp_path / "samples.jsonl").open("a") as stream:
        stream.write(other)
    write_table(tmp_path / "samples.jsonl", tmp_path, started_ns=0)
    system = summarize(write(tmp_path, [request(index) for index in range(20)])).system
    assert system is not None
    assert system.offered.server == 20


def test_figures_of_the_system_name_their_file_and_say_why_they_are_unknown(tmp_path: Path) -> None:
    found = {figure.name: figure for figure in figures(summary(tmp_path, *around(20), failed={"accelerator": "NVML: no driver"}))}
    assert found["bench.tiny.system.ttft.server_ms"].value == pytest.approx(48)
    assert found["bench.tiny.system.ttft.server_ms"].derived_from == ("requests.parquet", "tokens.parquet", "system.parquet")
    joules = found["bench.tiny.system.energy.accelerators.joules"]
    assert joules.value is None
    assert "NVML: no driver" in joules.note


def test_a_summary_with_its_system_survives_json(tmp_path: Path) -> None:
    found = summary(tmp_path, *around(20), (0.5, "host", {"cpu_percent": 5}))
    assert Summary.model_validate_json(found.model_dump_json()) == found


def test_the_view_in_words_has_both_sides(tmp_path: Path) -> None:
    told = list(lines(view(tmp_path, *around(20, ttft_s=0.030))))
    assert "ttft 30.00 / 50.00 ms" in told[1]
    assert told[-1].startswith("alarm: ttft")


def test_a_warm_cache_makes_a_run_invalid_where_prompts_share_nothing(tmp_path: Path) -> None:
    before = counters(7, **TRUE)
    after = counters(27, prefix_cache_queries_total=10_000, prefix_cache_hits_total=6_000, **TRUE)
    watch(tmp_path, (-1, "engine", before), (9, "engine", after))
    rows = [request(index, prompt_tokens=500) for index in range(20)]
    assert summarize(write(tmp_path, rows)).valid
    found = summarize(write(tmp_path, rows, shared_share=0.0))
    assert not found.valid
    assert "60.0% of prompt tokens came from the server's prefix cache (limit 17.8%)" in found.invalid_reasons[0]
    allowed = workload(cache={"max_hit_rate": 0.7})
    assert summarize(write(tmp_path, rows, allowed, shared_share=0.0)).valid
