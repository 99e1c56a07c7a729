"""From the master's spool to rows, summary and figures; every number here is worked out by hand."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.errors import BenchError
from bench.results.summary import ToolInfo
from bench.users.evidence import draft, recompute
from bench.users.job import Machine
from bench.users.metrics import summarize
from bench.users.rows import USERS, gather, read_rows, write_rows
from bench.users.scenario import Scenario
from bench.users.summary import UsersRun, UsersSummary
from bench.users.verdict import rejection
from stack.evidence import EvidenceError, EvidenceStore, SigningKey

MS = 1_000_000
S = 1_000_000_000
HERE = {"boot": "here", "offset_ns": 1000 * S}
SCENARIO = Scenario.model_validate(
    {
        "name": "desk",
        "model": "m",
        "users": 2,
        "duration_s": 10,
        "slo": {"ttft_ms": 100, "tpot_ms": 20},
        "classes": [
            {"name": "asker", "journey": [{"name": "open", "say": "a", "max_tokens": 5}, {"name": "more", "say": "b", "max_tokens": 5}]},
            {"name": "looker", "journey": [{"name": "look", "say": "c", "max_tokens": 5}]},
        ],
    }
)


def row(number: int, **changes: Any) -> dict[str, Any]:
    """Sent at second 100 + number; five tokens, the first after 50 ms, 10 ms apart."""
    sent = (100 + number) * S
    made = {
        "test": 1,
        "request_id": f"r-{number}",
        "class": "asker",
        "user": 0,
        "journey": number,
        "turn": 0,
        "step": "open",
        "intended_ns": sent,
        "status": "ok",
        "http_status": 200,
        "detail": "",
        "resent": False,
        "sent_ns": sent,
        "first_content_ns": sent + 50 * MS,
        "first_visible_ns": sent + 50 * MS,
        "last_content_ns": sent + 90 * MS,
        "closed_ns": sent + 95 * MS,
        "prompt_tokens": 2,
        "completion_tokens": 5,
        "n_first": 1,
        "chunks": 5,
        "finish_reason": "length",
    }
    assert changes.keys() <= made.keys()
    return {**made, **changes}


def failed(number: int, status: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("first_content_ns", "first_visible_ns", "last_content_ns", "completion_tokens", "n_first", "http_status"))
    return row(number, status=status, chunks=0, **nothing)


def report(rows: list[dict[str, Any]], *, worker: str = "worker-0", machine: dict[str, Any] | None = None, lags_ms: tuple[float, ...] = ()) -> dict[str, Any]:
    lags = [round(lag * MS) for lag in lags_ms]
    health = {"cpu_s": 2.0, "wall_s": 10.0, "peak_rss_mb": 60.0, "lags_ns": lags}
    return {"kind": "report", "test": 1, "worker": worker, "machine": machine or HERE, "rows": rows, **health}


def start(test: int = 1, at_s: int = 100) -> dict[str, Any]:
    return {"kind": "start", "test": test, "started_ns": at_s * S, "started_at": "2026-01-01T00:00:00+00:00", "machine": HERE}


def end(state: str = "complete", at_s: int = 110) -> dict[str, Any]:
    return {"kind": "end", "test": 1, "state": state, "ended_ns": at_s * S}


def finish(folder: Path, *messages: dict[str, Any], lost: tuple[str, ...] = (), tail: bytes = b"") -> UsersSummary:
    """As `run_users` does with what the master left."""
    spool = folder / "spool"
    spool.write_bytes(b"".join(json.dumps(message).encode() + b"\n" for message in messages) + tail)
    told = gather(spool)
    assert told is not None
    run = UsersRun(
        scenario=SCENARIO,
        seed=1,
        run="users-1",
        url="http://127.0.0.1:1",
        tool=ToolInfo(version="0"),
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        started_ns=told.started_ns,
        ended_ns=told.ended_ns - told.started_ns,
        state=told.state,
        workers=told.health,
        lost=(*told.lost, *lost),
        tests=told.tests,
    )
    write_rows(folder / USERS, spool, run, told)
    return summarize(read_rows(folder / USERS))


def test_counts_latencies_and_rates_are_those_of_the_rows(tmp_path: Path) -> None:
    rows = [row(0), row(1, turn=1, step="more", journey=0), row(2, **{"class": "looker"}, step="look"), failed(3, "truncated"), failed(4, "cancelled")]
    summary = finish(tmp_path, start(), report(rows), end())
    assert summary.valid
    assert summary.requests.model_dump() == {"sent": 5, "ok": 3, "failed": 1, "cancelled": 1, "by_class": {"truncated": 1}}
    assert (summary.metrics.ttft_ms.count, summary.metrics.ttft_ms.p50, summary.metrics.tpot_ms.p50, summary.metrics.e2e_ms.p50) == (3, 50, 10, 90)
    assert summary.metrics.ttft_ms.missing_samples.p99 == 659
    assert (summary.rates.requests_per_s, summary.rates.output_tokens_per_s) == (0.3, 1.5)
    assert [(each.user_class, each.step, each.requests.sent) for each in summary.steps] == [("asker", "open", 3), ("asker", "more", 1), ("looker", "look", 1)]
    assert (summary.journeys.begun, summary.journeys.finished, summary.users) == (4, 2, 2)


def test_goodput_judges_failed_requests_but_not_cancelled_ones(tmp_path: Path) -> None:
    slow = row(1, first_content_ns=101 * S + 101 * MS, last_content_ns=101 * S + 141 * MS)
    long = row(2, last_content_ns=102 * S + 134 * MS)
    one_chunk = row(3, completion_tokens=1, last_content_ns=103 * S + 50 * MS, chunks=1)
    summary = finish(tmp_path, start(), report([row(0), slow, long, one_chunk, failed(4, "timeout"), failed(5, "cancelled")]), end())
    assert summary.goodput is not None
    assert (summary.goodput.good, summary.goodput.judged, summary.goodput.share) == (2, 5, 0.4)
    assert summary.goodput.interval_95 == pytest.approx((0.1176, 0.7693), abs=1e-4)  # Wilson for 2 of 5
    assert summary.metrics.tpot_ms.count == 3


def test_a_loop_that_was_late_or_a_busy_core_makes_the_run_invalid(tmp_path: Path) -> None:
    late = finish(tmp_path, start(), report([row(0)], lags_ms=(3.0,) * 100), end())
    assert late.invalid_reasons == ("client-bound: worker worker-0: mean event-loop lag 3.00 ms (limit 2.50 ms)",)
    spiky = finish(tmp_path, start(), report([row(0)], lags_ms=(0.1,) * 98 + (30.0, 30.0)), end())
    assert spiky.invalid_reasons == ("client-bound: worker worker-0: p99 event-loop lag 30.0 ms (limit 10.0 ms)",)
    busy = finish(tmp_path, start(), {**report([row(0)]), "cpu_s": 9.5}, end())
    assert busy.invalid_reasons == ("client-bound: worker worker-0 used 95% of a core (limit 90%)",)


def test_each_worker_is_judged_by_its_own_loop(tmp_path: Path) -> None:
    summary = finish(tmp_path, start(), report([row(0)]), report([row(1)], worker="worker-1", lags_ms=(30.0,) * 10), end())
    assert [each.loop_lag_ms_mean for each in summary.workers] == [None, 30.0]
    assert "worker worker-1" in summary.invalid_reasons[0]
    assert len(summary.invalid_reasons) == 1


def test_a_lost_worker_is_named_once_and_makes_the_run_invalid(tmp_path: Path) -> None:
    summary = finish(tmp_path, start(), report([row(0)]), {"kind": "lost", "test": 1, "worker": "worker-1"}, end())
    assert summary.lost_workers == ("worker-1",)
    assert summary.invalid_reasons == ("worker worker-1 was lost, and its users with it",)


def test_a_run_without_an_end_is_interrupted_and_lasts_to_its_last_answer(tmp_path: Path) -> None:
    summary = finish(tmp_path, start(), report([row(0), row(4)]), tail=b'{"kind":"report","rows":[')
    assert summary.state == "interrupted"
    assert summary.invalid_reasons == ("interrupted: 2 requests were over, 0 were cancelled",)
    assert summary.rates.requests_per_s == pytest.approx(2 / 4.095)


def test_stamps_of_another_machine_are_moved_to_the_masters_clock(tmp_path: Path) -> None:
    elsewhere = {"boot": "there", "offset_ns": 1040 * S}  # its monotonic clock began 40 s later
    moved = row(0, **{name: value - 40 * S for name, value in row(0).items() if name.endswith("_ns") and value is not None})
    finish(tmp_path, start(), report([moved], machine=elsewhere), end())
    (found,) = read_rows(tmp_path / USERS).table.to_pylist()
    assert (found["sent_ns"], found["first_content_ns"]) == (0, 50 * MS)


def test_one_machine_has_one_clock_whatever_its_wall_clock_did() -> None:
    assert Machine(boot="here", offset_ns=5).to(Machine(boot="here", offset_ns=9)) == 0


def test_figures_are_those_of_the_last_test_that_was_started(tmp_path: Path) -> None:
    summary = finish(tmp_path, start(), report([row(0), row(1)]), end("interrupted"), start(2, at_s=102), report([row(3, test=2)]), end())
    assert (summary.state, summary.requests.sent) == ("complete", 1)
    assert summary.notes == ("2 tests were started; these are the figures of the last",)
    assert [(each["test"], each["sent_ns"] // S) for each in read_rows(tmp_path / USERS).table.to_pylist()] == [(1, 0), (1, 1), (2, 1)]


def test_answers_without_usage_have_no_tpot_and_the_notes_say_so(tmp_path: Path) -> None:
    summary = finish(tmp_path, start(), report([row(0, completion_tokens=None)]), end())
    assert summary.metrics.tpot_ms.count == 0
    assert summary.rates.output_tokens_per_s is None
    assert "without a usage block" in summary.notes[0]


def test_a_run_of_nothing_but_cancelled_requests_has_no_figures_and_is_invalid(tmp_path: Path) -> None:
    summary = finish(tmp_path, start(), report([failed(0, "cancelled")]), end("interrupted"))
    assert summary.metrics.ttft_ms.p50 is None
    assert "no request succeeded" in summary.invalid_reasons


def test_a_spool_without_a_test_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "spool").write_bytes(b"")
    assert gather(tmp_path / "spool") is None


@pytest.mark.parametrize(
    ("statuses", "details", "words"),
    [
        (["http_401", "cancelled"], ["no valid key", ""], "pass the gateway's key with --api-key-file [no valid key]"),
        (["refused"], ["cannot connect: Connection refused"], "check that the server runs"),
        (["http_422"], ["no such field"], "all requests failed (http_422): no such field"),
        (["malformed"], ["the endpoint does not stream: it answered text/html"], "does not stream"),
        (["ok", "http_401"], ["", ""], None),
        (["http_429"], [""], None),
        (["http_503"], [""], None),
        (["cancelled"], [""], None),
        ([], [], None),
    ],
)
def test_an_endpoint_that_turns_all_requests_away_gives_one_line_with_the_mend(statuses: list[str], details: list[str], words: str | None) -> None:
    found = rejection(statuses, details)
    assert found is None if words is None else found is not None and words in found


def test_recomputing_gives_exactly_the_figures_of_the_record(tmp_path: Path) -> None:
    summary = finish(tmp_path, start(), report([row(number) for number in range(9)] + [failed(9, "truncated")]), end())
    (tmp_path / "summary.json").write_text(summary.model_dump_json())
    (tmp_path / "scenario.yaml").write_text("{}")
    key = SigningKey(Ed25519PrivateKey.generate())
    stored = EvidenceStore(tmp_path / "evidence", key=lambda: key).write(*draft(summary, tmp_path))
    assert tuple(recompute(stored)) == stored.record.figures
    named = {figure.name: figure for figure in stored.record.figures}
    assert named["users.desk.asker.open.ttft_ms.p50"].value == 50
    assert named["users.desk.requests.failed"].value == 1
    assert named["users.desk.goodput.share"].value == 0.9
    assert named["users.desk.ttft_ms.certified.p99"].value is None
    assert "653 more" in named["users.desk.ttft_ms.certified.p99"].note
    stored.artifact_path(USERS).write_bytes(b"PAR1 nonsense")
    with pytest.raises(EvidenceError, match="users-"):
        recompute(stored)


def test_a_file_of_other_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / USERS).write_bytes(b"nothing")
    with pytest.raises(BenchError, match="not the rows of a run of users"):
        read_rows(tmp_path / USERS)
