from pathlib import Path

import pytest
from bench_kit import request, write
from hypothesis import given
from hypothesis import strategies as st
from system_kit import S, counters, watch

from bench.errors import BenchError
from bench.results.files import REQUESTS, SYSTEM, TOKENS
from bench.results.samples import read_samples
from bench.system.readings import Line, has_sample, read_lines
from bench.system.table import read_table, rebase_table, write_table


def test_readings_come_back_as_rows_in_the_order_of_time(tmp_path: Path) -> None:
    table = watch(tmp_path, (1, "host", {"load_average_1m": 0.5}), (-0.5, "engine", {"num_requests_running": 2}))
    assert table.rows.to_pylist() == [
        {"t_ns": -S // 2, "source": "engine", "metric": "num_requests_running", "labels": '{"engine":"0","model_name":"mock"}', "value": 2.0},
        {"t_ns": S, "source": "host", "metric": "load_average_1m", "labels": "{}", "value": 0.5},
    ]
    assert table.info.same_host is True
    assert (table.info.sources["engine"].samples, table.info.sources["accelerator"].reason) == (1, "never asked")


def test_failures_are_counted_and_the_first_reason_is_kept(tmp_path: Path) -> None:
    table = watch(tmp_path, (1, "host", {"load_average_1m": 1}), failed={"engine": "HTTP 404"})
    engine = table.info.sources["engine"]
    assert (engine.samples, engine.failures, engine.reason) == (0, 1, "HTTP 404")


def test_a_value_that_is_not_finite_is_left_out(tmp_path: Path) -> None:
    assert watch(tmp_path, (1, "engine", {"num_requests_running": float("nan"), "num_requests_waiting": 1})).rows["metric"].to_pylist() == [
        "num_requests_waiting"
    ]


def test_a_line_that_was_cut_off_by_a_kill_costs_that_line_alone(tmp_path: Path) -> None:
    watch(tmp_path, (1, "engine", counters()), (2, "engine", counters(1)))
    cut = (tmp_path / "samples.jsonl").read_text()[:-40]
    (tmp_path / "samples.jsonl").write_text(cut)
    write_table(tmp_path / "samples.jsonl", tmp_path, started_ns=0)
    assert set(read_table(tmp_path / SYSTEM).rows["t_ns"].to_pylist()) == {S}


def test_a_watch_that_never_sampled_still_says_why(tmp_path: Path) -> None:
    write_table(tmp_path / "absent", tmp_path, started_ns=5, fault="it ended with status 1")
    table = read_table(tmp_path / SYSTEM)
    assert (table.rows.num_rows, table.info.fault, table.info.same_host) == (0, "it ended with status 1", None)


def test_stamps_can_be_made_to_count_from_another_start(tmp_path: Path) -> None:
    before = watch(tmp_path, (1, "engine", {"num_requests_running": 2}), (3, "host", {"load_average_1m": 1}))
    rebase_table(tmp_path, started_ns=-5 * S)
    after = read_table(tmp_path / SYSTEM)
    assert after.rows["t_ns"].to_pylist() == [6 * S, 8 * S]
    assert after.rows.drop(["t_ns"]).equals(before.rows.drop(["t_ns"]))
    assert after.info == before.info.model_copy(update={"started_ns": -5 * S})


@pytest.mark.slow
@given(
    st.lists(st.text() | st.sampled_from(['{"about":{}}', '{"t_ns":1,"source":"engine","readings":[],"failed":""}', '{"t_ns":1,"source":"nobody"}', "[]", "1"]))
)
def test_whatever_stands_in_a_samples_file_is_read_or_passed_over(lines: list[str]) -> None:
    for line in read_lines(lines):
        assert isinstance(line, Line | dict)


def test_a_first_sample_is_there_once_every_source_was_asked(tmp_path: Path) -> None:
    assert not has_sample(tmp_path / "samples.jsonl")
    watch(tmp_path, (1, "engine", {}), (1, "host", {}), (1, "energy", {}))
    assert not has_sample(tmp_path / "samples.jsonl")
    watch(tmp_path, (1, "engine", {}), (1, "host", {}), (1, "energy", {}), failed={"accelerator": "no GPU"})
    assert has_sample(tmp_path / "samples.jsonl")


def test_the_watch_of_another_run_beside_the_samples_is_refused(tmp_path: Path) -> None:
    watch(tmp_path, (1, "engine", counters()))
    assert write(tmp_path, [request(0)]).system is not None
    with pytest.raises(BenchError, match=r"system\.parquet: is of another run"):
        write(tmp_path, [request(0)], started_ns=1)


def test_a_run_without_a_watch_has_no_system(tmp_path: Path) -> None:
    assert write(tmp_path, [request(0)]).system is None


def test_a_file_that_is_no_watch_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [request(0)])
    (tmp_path / SYSTEM).write_bytes((tmp_path / TOKENS).read_bytes())
    with pytest.raises(BenchError, match=r"system\.parquet: not the record"):
        read_samples(tmp_path / REQUESTS, tmp_path / TOKENS)
