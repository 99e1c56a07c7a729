"""A whole sweep against made-up servers: what is run, kept, taken up again and recomputed."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from bench_kit import HEALTH, request, workload, write
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.capacity import CapacityResult, SweepOptions, SweepTarget, find_capacity, parse_level, probes, sweep_streams
from bench.capacity.evidence import draft, recompute
from bench.capacity.level import OUT_OF_TIME
from bench.capacity.plan import Sizes
from bench.errors import BenchError
from bench.results.metrics import summarize
from bench.results.summary import Summary
from bench.workload import Workload
from stack.evidence import EvidenceError, EvidenceStore, SigningKey
from stack.runtime.progress import Reporter

pytestmark = pytest.mark.slow

LEVEL = "ttft_p90=60ms"
LOAD = workload()
URL = SweepTarget("http://127.0.0.1:1")
OPTIONS = SweepOptions(start=8.0, sizes=Sizes(search_s=1, confirm_s=1))


class Server:
    """Answers in 52 ms up to `capacity` requests/s (or streams), in 152 ms above it; keeps what it was asked."""

    def __init__(self, capacity: float, **run: Any) -> None:
        self.capacity = capacity
        self.run = run
        self.asked: list[str] = []
        self.seeds: list[int] = []

    def __call__(self, load: Workload, *, out: Path, seed: int, **_: Any) -> Summary:
        self.asked.append(out.name)
        self.seeds.append(seed)
        size = float(getattr(load.arrivals, "rate", 0) or getattr(load.arrivals, "streams", 0))
        late = 0 if size <= self.capacity else 100_000_000
        rows = [later(request(index), late) for index in range(load.stop.requests or 0)]
        out.mkdir(parents=True, exist_ok=True)
        summary = summarize(write(out, rows, load, **(self.run | self.special(out.name))))
        (out / "summary.json").write_text(summary.model_dump_json())
        return summary

    def special(self, name: str) -> dict[str, Any]:
        return {}


def later(row: dict[str, Any], by_ns: int) -> dict[str, Any]:
    answer = ("first_content_ns", "first_visible_ns", "last_content_ns", "closed_ns")
    return {name: value + by_ns if name in answer else value for name, value in row.items()}


def moved(index: int, begin_ns: int) -> dict[str, Any]:
    """Request `index`, begun at another time."""
    row = request(0, request=index, empty_choices_ns=[])
    return {name: value + begin_ns if name.endswith("_ns") and isinstance(value, int) else value for name, value in row.items()}


Sweep = Callable[..., CapacityResult]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """Run a sweep against a made-up server in one folder."""

    def go(
        server: Server, *, options: SweepOptions = OPTIONS, target: SweepTarget = URL, level: str = "ttft_p90=60ms", load: Workload | None = None
    ) -> CapacityResult:
        monkeypatch.setattr(probes, "run_workload", server)
        return find_capacity(load or workload(), parse_level(level), target=target, out=tmp_path / "sweep", options=options, reporter=Reporter(StringIO()))

    return go


def test_the_capacity_is_bracketed_bisected_and_confirmed(sweep: Sweep, tmp_path: Path) -> None:
    server = Server(37)
    result = sweep(server)
    assert server.asked[:3] == ["search-8", "search-16", "search-32"]
    assert server.asked[-1].startswith("confirm-")
    assert result.stopped == "found"
    assert result.capacity_requests_per_s is not None
    assert 37 / 1.1 <= result.capacity_requests_per_s <= 37
    assert (result.bracket.low, result.bracket.confirmed) == (result.capacity_requests_per_s, True)
    assert result == CapacityResult.model_validate_json((tmp_path / "sweep" / "capacity.json").read_bytes())
    curve = json.loads((tmp_path / "sweep" / "curve.json").read_text())
    rates = [point["rate"] for point in curve["points"]]
    assert rates == sorted(rates)
    assert len((tmp_path / "sweep" / "curve.csv").read_text().splitlines()) == len(rates) + 1


def test_without_a_start_one_stream_tells_where_to_begin(sweep: Sweep) -> None:
    server = Server(37)
    result = sweep(server, options=SweepOptions(sizes=Sizes(1, 1)))
    assert server.asked[0] == "estimate-1"
    assert result.probes[0].kind == "estimate"
    assert result.probes[0].judgement is None
    assert result.stopped == "found"


def test_the_same_command_again_runs_nothing_and_finds_the_same(sweep: Sweep) -> None:
    first = sweep(Server(37))
    again = Server(37)
    second = sweep(again)
    assert again.asked == []
    assert all(probe.reused for probe in second.probes)
    assert (second.capacity_requests_per_s, second.bracket, second.seed) == (first.capacity_requests_per_s, first.bracket, first.seed)


def test_an_interrupted_sweep_goes_on_with_the_probe_that_was_cut(sweep: Sweep) -> None:
    class Interrupted(Server):
        def special(self, name: str) -> dict[str, Any]:
            return {"state": "interrupted"} if name == "search-32" else {}

    cut = Interrupted(37)
    first = sweep(cut)
    assert (first.stopped, first.capacity_requests_per_s) == ("interrupted", None)
    assert (first.bracket.low, first.bracket.high) == (16, None)
    server = Server(37)
    second = sweep(server)
    assert server.asked[0] == "search-32"
    assert second.stopped == "found"
    assert next(probe for probe in second.probes if probe.name == "search-32").attempt == 2
    # Its prompts are new: the server may remember those of the first attempt.
    assert not set(server.seeds) & set(cut.seeds)


def test_ctrl_c_between_probes_keeps_what_was_found(sweep: Sweep, tmp_path: Path) -> None:
    class Impatient(Server):
        def special(self, name: str) -> dict[str, Any]:
            if name == "search-32":
                raise KeyboardInterrupt
            return {}

    result = sweep(Impatient(37))
    assert (result.stopped, result.bracket.low) == ("interrupted", 16)
    assert json.loads((tmp_path / "sweep" / "capacity.json").read_text())["stopped"] == "interrupted"


def test_samples_that_were_changed_are_measured_again(sweep: Sweep, tmp_path: Path) -> None:
    sweep(Server(37))
    with (tmp_path / "sweep" / "search-16" / "requests.parquet").open("ab") as file:
        file.write(b"x")
    again = Server(37)
    sweep(again)
    assert again.asked == ["search-16"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target": SweepTarget("http://127.0.0.1:2")}, "another URL"),
        ({"level": "ttft_p90=70ms"}, "another --slo"),
        ({"load": workload(temperature=1.0)}, "another workload"),
        ({"target": SweepTarget("http://127.0.0.1:1", seed=5)}, "--seed"),
    ],
)
def test_a_folder_with_another_sweep_is_refused(sweep: Sweep, change: dict[str, Any], words: str) -> None:
    sweep(Server(37))
    with pytest.raises(BenchError, match="choose another folder") as caught:
        sweep(Server(37), **change)
    assert words in str(caught.value)


def test_one_client_bound_probe_is_tried_again(sweep: Sweep) -> None:
    class Disturbed(Server):
        def special(self, name: str) -> dict[str, Any]:
            once = name == "search-16" and self.asked.count(name) == 1
            return {"client": HEALTH.model_copy(update={"cpu_share": 0.99})} if once else {}

    server = Disturbed(37)
    assert sweep(server).stopped == "found"
    assert server.asked.count("search-16") == 2


def test_a_client_at_its_limit_is_never_taken_for_the_servers(sweep: Sweep) -> None:
    class Weak(Server):
        def special(self, name: str) -> dict[str, Any]:
            return {"client": HEALTH.model_copy(update={"cpu_share": 0.99})} if name == "search-32" else {}

    result = sweep(Weak(1000))
    assert (result.stopped, result.capacity_requests_per_s, result.succeeded) == ("client_bound", None, False)
    assert (result.bracket.low, result.bracket.high) == (16, None)
    assert "search-32 is INVALID" in result.why
    assert not result.probes[-1].valid
    assert not result.probes[-1].point.valid


def test_when_the_time_does_not_suffice_a_bracket_is_told_and_no_number(sweep: Sweep) -> None:
    """The short probes are expected to take at most 8 s, the run that confirms 100 s."""
    server = Server(37)
    result = sweep(server, options=SweepOptions(start=8.0, budget_s=50.0, sizes=Sizes(search_s=1, confirm_s=100)))
    assert (result.stopped, result.capacity_requests_per_s, result.succeeded) == ("budget", None, False)
    assert result.bracket.low is not None
    assert result.bracket.high is not None
    assert 1 < result.bracket.high / result.bracket.low <= 1.1
    assert not result.bracket.confirmed
    assert "takes 100 s more" in result.why
    assert not any(name.startswith("confirm") for name in server.asked)


def test_a_probe_cut_short_by_the_budget_says_nothing(sweep: Sweep) -> None:
    class Slow(Server):
        def special(self, name: str) -> dict[str, Any]:
            return {"state": "stopped", "reason": OUT_OF_TIME} if name == "search-16" else {}

    result = sweep(Slow(37))
    assert (result.stopped, result.bracket.low, result.bracket.high) == ("budget", 8, None)


def test_a_server_past_its_limit_counts_as_a_miss_though_its_probe_was_ended_early(sweep: Sweep) -> None:
    class Ended(Server):
        def special(self, name: str) -> dict[str, Any]:
            return {"state": "stopped", "reason": "over-saturated"} if name == "search-64" else {}

    result = sweep(Ended(37))
    assert result.stopped == "found"
    ended = next(probe for probe in result.probes if probe.name == "search-64")
    assert (ended.judgement and ended.judgement.outcome, ended.valid, ended.point.steady) == ("misses", True, False)


def test_a_level_that_never_fails_gives_at_least_the_highest_rate_allowed(sweep: Sweep) -> None:
    result = sweep(Server(1000), options=SweepOptions(start=8.0, highest=20.0, sizes=Sizes(1, 1)))
    assert (result.stopped, result.capacity_requests_per_s, result.bracket.high) == ("ceiling", 20, None)


@pytest.mark.parametrize(
    "arrivals", [{"kind": "steps", "steps": [{"rate": 1, "duration_s": 1}]}, {"kind": "ramp", "from_rate": 1, "to_rate": 2, "duration_s": 3}]
)
def test_arrivals_without_a_single_rate_are_refused(sweep: Sweep, arrivals: dict[str, Any]) -> None:
    with pytest.raises(BenchError, match="has no single rate to search"):
        sweep(Server(1), load=workload(arrivals=arrivals))


def test_a_closed_sweep_doubles_the_users_until_throughput_levels_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Knee(Server):
        """Throughput grows with the users up to 8, and the time of a request after that."""

        def __call__(self, load: Workload, *, out: Path, seed: int, **_: Any) -> Summary:
            streams = int(getattr(load.arrivals, "streams", 0))
            self.asked.append(out.name)
            spacing_ms = 100 // min(streams, 8)
            rows = [moved(index, index * spacing_ms * 1_000_000) for index in range(load.stop.requests or 0)]
            out.mkdir(parents=True, exist_ok=True)
            return summarize(write(out, rows, load))

    server = Knee(0)
    monkeypatch.setattr(probes, "run_workload", server)
    result = sweep_streams(workload(), None, target=URL, out=tmp_path / "closed", reporter=Reporter(StringIO()))
    assert server.asked == ["closed-1", "closed-2", "closed-4", "closed-8", "closed-16"]
    assert (result.stopped, result.capacity_requests_per_s, result.succeeded) == ("levelled_off", None, True)
    assert [probe.streams for probe in result.probes] == [1, 2, 4, 8, 16]
    assert all(probe.point.tokens_per_s_per_user == pytest.approx(100) for probe in result.probes)


def test_a_record_is_recomputed_from_the_samples_and_a_claim_of_another_load_is_caught(sweep: Sweep, tmp_path: Path) -> None:
    result = sweep(Server(37))
    key = SigningKey(Ed25519PrivateKey.generate())
    record, artifacts = draft(result, tmp_path / "sweep")
    stored = EvidenceStore(tmp_path / "evidence", key=lambda: key).write(record, artifacts)
    assert tuple(recompute(stored)) == stored.record.figures
    found = stored.record.figure("capacity.tiny.capacity_requests_per_s")
    assert found is not None
    assert found.value == result.capacity_requests_per_s
    stored.artifact_path("search-8.requests.parquet").write_bytes((tmp_path / "sweep" / "search-16" / "requests.parquet").read_bytes())
    with pytest.raises(EvidenceError, match="another load"):
        recompute(stored)
