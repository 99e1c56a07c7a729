"""The error of a client, from made-up records of both sides whose difference is known."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bench_kit import HEALTH, MS, request, workload, write

from bench.calibration import Calibration, CalibrationPoint, calibration_for, load_calibration, note_for
from bench.calibration.lookup import planned_load
from bench.calibration.plan import FULL, levels_of, ready_levels, verdict
from bench.calibration.truth import TRUTH_SCHEMA, Setting, compare, keep_truth, read_truth
from bench.errors import BenchError
from bench.workload import Workload
from stack.evidence.record import Host, Tool

HOST = Host(fingerprint="a" * 16, machine="x86_64", system="Linux", python="3.11", cpu_count=2)
OPEN = Setting("open-10", "open", 10.0, 1.0, ttft_ms=49.0, token_interval_ms=10.0)
CLOSED = Setting("closed-1", "closed", 1.0, 1.0, ttft_ms=49.0, token_interval_ms=10.0)


def truth_of(rows: list[dict[str, Any]], *, read_ns: int = MS, transit_ns: int = 0, late_ns: int = 0) -> pa.Table:
    """A server that had each request `transit_ns` after it was sent, and wrote each chunk `read_ns` before the client saw it.

    With a transit of 0 it was in time: 49 ms after the request, and `late_ns` more.
    """
    found = []
    for row in rows:
        first = row["first_content_ns"] - read_ns
        gap = (row["last_content_ns"] - row["first_content_ns"]) // (row["chunks"] - 1)
        received = row["sent_ns"] + transit_ns
        found.append({"request": row["request"], "received_ns": received, "emitted_ns": [first + late_ns + place * gap for place in range(row["chunks"])]})
    return pa.Table.from_pylist(found, schema=TRUTH_SCHEMA)


def point(place: Path, setting: Setting = OPEN, *, rows: list[dict[str, Any]] | None = None, **truth: Any) -> CalibrationPoint:
    chosen = rows or [request(index) for index in range(100)]
    load = workload() if setting.loop == "open" else workload(arrivals={"kind": "concurrency", "streams": 1})
    return compare(write(place, chosen, load), truth_of(chosen, **truth), setting)


def test_the_error_is_what_the_client_saw_minus_what_the_server_did(tmp_path: Path) -> None:
    """52 ms seen from the intended time; 49 ms done: 2 ms before the send, 1 ms after the write."""
    found = point(tmp_path)
    assert found.requests == 100
    assert found.true_ttft_ms == pytest.approx(49)
    assert (found.ttft_error_ms.mean, found.ttft_error_ms.p50, found.ttft_error_ms.p99) == pytest.approx((3, 3, 3))
    assert (found.send_ms, found.transit_ms, found.read_ms) == pytest.approx((2, 0, 1))
    assert (found.tpot_error_share, found.chunk_gap_p99_error_share, found.delivered_share) == pytest.approx((0, 0, 1))
    assert found.server_late_ms.p99 == pytest.approx(0)
    assert len(found.faults) == 2
    assert "+3.00 ms on average (limit 1 ms)" in found.faults[0]
    assert "+6.1%" in found.faults[1]


def test_in_closed_loop_the_wait_before_the_send_is_not_latency(tmp_path: Path) -> None:
    found = point(tmp_path, CLOSED)
    assert found.ttft_error_ms.mean == pytest.approx(1)
    assert found.send_ms == 0
    assert not any("ttft" in fault for fault in found.faults)


def test_a_server_that_was_late_itself_is_not_held_against_the_client(tmp_path: Path) -> None:
    found = point(tmp_path, CLOSED, read_ns=20 * MS, late_ns=20 * MS)
    assert found.ttft_error_ms.mean == pytest.approx(0)
    assert found.server_late_ms.p99 == pytest.approx(1)
    late = point(tmp_path, Setting("closed-1", "closed", 1.0, 1.0, ttft_ms=30.0, token_interval_ms=10.0))
    assert late.reference_late
    assert late.faults[0].startswith("the reference server was late itself (19.0 ms at p99")
    assert verdict([late]).silent == ()


def test_a_point_is_resolved_only_when_the_run_called_itself_valid(tmp_path: Path) -> None:
    rows = [request(index, sent_ns=index * 100 * MS, first_content_ns=(index * 100 + 50) * MS) for index in range(100)]
    setting = Setting("closed-1", "closed", 1.0, 1.0, ttft_ms=49.5, token_interval_ms=10.5)
    load = workload(arrivals={"kind": "concurrency", "streams": 1})
    truth = truth_of(rows, read_ns=MS // 2)
    fine = compare(write(tmp_path, rows, load), truth, setting)
    assert not any("ttft" in fault or "tpot" in fault for fault in fine.faults)
    busy = compare(write(tmp_path, rows, load, client=HEALTH.model_copy(update={"cpu_share": 0.99})), truth, setting)
    assert "the run called itself INVALID" in busy.faults
    assert verdict([busy]).silent == ()


def test_requests_that_failed_or_that_the_server_never_logged_are_left_out(tmp_path: Path) -> None:
    rows = [request(index) for index in range(10)]
    failed = [*rows[:9], request(9, status="timeout", completion_tokens=None)]
    found = compare(write(tmp_path, failed, workload()), truth_of(rows[1:]), OPEN)
    assert found.requests == 8


def test_warm_up_is_left_out(tmp_path: Path) -> None:
    rows = [request(index, phase="warmup" if index < 4 else "measured") for index in range(10)]
    assert point(tmp_path, rows=rows).requests == 6


def test_load_that_came_late_was_not_delivered(tmp_path: Path) -> None:
    """Due over 9.9 s, at the server over twice that: half of the rate."""
    rows = [request(index) for index in range(100)]
    truth = truth_of(rows).to_pylist()
    slow = [{**row, "received_ns": row["received_ns"] + row["request"] * 100 * MS} for row in truth]
    found = compare(write(tmp_path, rows, workload()), pa.Table.from_pylist(slow, schema=TRUTH_SCHEMA), OPEN)
    assert found.delivered_share == pytest.approx(0.5)


def test_a_run_without_a_single_answer_is_a_fault_one_can_mend(tmp_path: Path) -> None:
    rows = [request(index, status="timeout") for index in range(3)]
    with pytest.raises(BenchError, match="not one measured request succeeded"):
        compare(write(tmp_path, rows, workload()), truth_of(rows), OPEN)


def test_the_servers_log_becomes_a_table_and_a_foreign_file_is_refused(tmp_path: Path) -> None:
    lines = (
        '{"request_id":"bench-ab-7","received_ns":5,"emitted_ns":[6,8],"closed_ns":9}',
        '{"request_id":"bench-ab-3","received_ns":1,"emitted_ns":[2],"closed_ns":3}',
    )
    (tmp_path / "log").write_text("\n".join(lines) + "\n")
    keep_truth(tmp_path / "log", tmp_path / "truth.parquet")
    assert read_truth(tmp_path / "truth.parquet").to_pylist() == [
        {"request": 3, "received_ns": 1, "emitted_ns": [2]},
        {"request": 7, "received_ns": 5, "emitted_ns": [6, 8]},
    ]
    pq.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    for name in ("other.parquet", "log"):
        with pytest.raises(BenchError, match=name):
            read_truth(tmp_path / name)


@pytest.mark.parametrize(
    ("arrivals", "planned"),
    [
        ({"kind": "concurrency", "streams": 8}, ("closed", 8)),
        ({"kind": "concurrency_steps", "steps": [{"streams": 2, "duration_s": 1}, {"streams": 9, "duration_s": 1}]}, ("closed", 9)),
        ({"kind": "constant", "rate": 5}, ("open", 5)),
        ({"kind": "gamma", "rate": 6, "shape": 0.5}, ("open", 6)),
        ({"kind": "steps", "steps": [{"rate": 3, "duration_s": 1}, {"rate": 2, "duration_s": 1}]}, ("open", 3)),
        ({"kind": "ramp", "from_rate": 1, "to_rate": 7, "duration_s": 5}, ("open", 7)),
    ],
)
def test_a_workload_is_calibrated_at_fractions_of_its_highest_load_with_its_own_kind_of_arrivals(arrivals: dict[str, Any], planned: tuple[str, float]) -> None:
    load = workload(arrivals=arrivals)
    assert planned_load(load) == planned
    levels = levels_of(load, duration_s=5.0)
    assert levels[-1].load == pytest.approx(planned[1] * 1.25, abs=0.5 if planned[0] == "closed" else 0)
    assert {level.loop for level in levels} == {planned[0]}
    assert all(planned_load(level.workload) == (level.loop, level.load) for level in levels)
    assert {level.workload.stop.duration_s for level in levels} == {5.0}
    assert {level.workload.prompts for level in levels} == {load.prompts}


def test_few_streams_give_each_number_of_streams_once() -> None:
    levels = levels_of(workload(arrivals={"kind": "concurrency", "streams": 2}), duration_s=1.0)
    assert [level.load for level in levels] == [1, 2]


def test_a_trace_has_no_rate_to_scale() -> None:
    with pytest.raises(BenchError, match="trace"):
        levels_of(workload(arrivals={"kind": "trace", "file": "x.csv", "format": "azure"}), duration_s=1.0)


def test_the_ready_curves_cover_both_loops() -> None:
    assert [level.name for level in ready_levels(FULL, duration_s=1.0)][::5] == ["closed-1", "closed-256", "open-3000"]


def calibration(*points: CalibrationPoint, planned: Workload | None = None) -> Calibration:
    return Calibration(
        state="complete",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        tool=Tool(version="0"),
        host=HOST,
        workers=1,
        workload=planned,
        ttft_ms=49,
        token_interval_ms=10,
        duration_s=5,
        points=points,
        verdict=verdict(points),
    )


def at(sample: CalibrationPoint, loop: str, load: float, *faults: str, valid: bool = True) -> CalibrationPoint:
    return sample.model_copy(update={"name": f"{loop}-{load:g}", "loop": loop, "load": load, "faults": faults, "valid": valid, "share": None})


def test_the_verdict_is_the_highest_load_below_which_all_is_resolved(tmp_path: Path) -> None:
    sample = point(tmp_path)
    rates = [at(sample, "open", 10), at(sample, "open", 20), at(sample, "open", 30, "off", valid=False), at(sample, "open", 40)]
    points = [*rates, at(sample, "closed", 1, "off")]
    found = verdict(points)
    assert (found.requests_per_s, found.streams, found.silent) == (20, None, ("closed-1",))
    assert "up to 20 requests/s" in found.words
    assert "no tried number of streams" in found.words
    assert not calibration(*points).resolved
    assert calibration(*rates).resolved


def test_the_point_for_a_workload_is_the_next_load_of_its_kind_and_there_is_none_beyond(tmp_path: Path) -> None:
    sample = point(tmp_path)
    known = calibration(at(sample, "open", 10), at(sample, "open", 20), at(sample, "closed", 100))
    for rate, load in ((5, 10), (10, 10), (11, 20)):
        chosen = calibration_for(known, workload(arrivals={"kind": "poisson", "rate": rate}))
        assert chosen is not None
        assert (chosen.loop, chosen.load) == ("open", load)
    assert calibration_for(known, workload(arrivals={"kind": "poisson", "rate": 21})) is None
    note = note_for(known, workload(arrivals={"kind": "poisson", "rate": 21}), host=HOST)
    assert (note.same_host, note.point) == (True, None)
    assert "beyond" in note.words
    other = note_for(known, workload(), host=HOST.model_copy(update={"fingerprint": "b" * 16}))
    assert not other.same_host
    assert other.words.startswith("made on another host")


def test_a_calibration_is_read_back_and_a_wrong_file_is_named(tmp_path: Path) -> None:
    known = calibration(at(point(tmp_path), "open", 10))
    path = tmp_path / "calibration.json"
    path.write_text(known.model_dump_json())
    assert load_calibration(path) == known
    path.write_text("{}")
    with pytest.raises(BenchError, match=r"calibration\.json: field"):
        load_calibration(path)
    with pytest.raises(BenchError, match="cannot be read"):
        load_calibration(tmp_path / "none.json")
