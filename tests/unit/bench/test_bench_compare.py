"""Better, worse or cannot tell; and a refusal by name where the question makes no sense."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from bench_kit import HEALTH, MS, request, workload, write
from typer.testing import CliRunner

from bench.compare import Comparison, compare
from bench.errors import BenchError
from bench.repeats import over_repeats, repeat_seed, run_repeats
from bench.results.metrics import summarize
from bench.results.summary import METRICS_VERSION, Summary
from bench.workload import Workload

SLO = workload(slo={"ttft_ms": 60})


def rows(seed: int, *, ttft_ms: float = 50, spread_ms: float = 4, count: int = 700) -> list[dict[str, Any]]:
    draw, found = random.Random(seed), []
    for index in range(count):
        first = index * 100 * MS + round((ttft_ms + draw.gauss(0, spread_ms)) * MS)
        found.append(request(index, first_content_ns=first, last_content_ns=first + 40 * MS, closed_ns=first + 50 * MS, empty_choices_ns=[]))
    return found


def run(folder: Path, seed: int, load: Workload = SLO, *, described: dict[str, Any] | None = None, **how: Any) -> Path:
    folder.mkdir(parents=True)
    write(folder, rows(seed, **how), load, seed=seed, **(described or {}))
    return folder


def verdicts(found: Comparison) -> dict[str, str]:
    return {figure.name: figure.verdict for figure in found.figures}


def test_a_slower_server_is_worse_and_its_interval_holds_the_true_difference(tmp_path: Path) -> None:
    found = compare(run(tmp_path / "a", 1), run(tmp_path / "b", 2, ttft_ms=55))
    assert found.verdict == "worse"
    p50 = found.figures[0]
    assert (p50.name, p50.verdict) == ("ttft_ms.p50", "worse")
    assert p50.interval is not None
    assert p50.interval[0] < 5 < p50.interval[1]
    assert verdicts(found)["tpot_ms.p50"] == "cannot tell"
    assert verdicts(found)["goodput.share"] == "worse"
    assert any("run to run" in note for note in found.notes)


def test_the_other_way_round_it_is_better(tmp_path: Path) -> None:
    found = compare(run(tmp_path / "a", 1, ttft_ms=55), run(tmp_path / "b", 2))
    assert (found.verdict, verdicts(found)["ttft_ms.p50"], verdicts(found)["e2e_ms.p50"]) == ("better", "better", "better")


@pytest.mark.slow
def test_the_same_server_twice_cannot_be_told_apart(tmp_path: Path) -> None:
    """12 pairs of runs that differ by chance alone, 8 figures each: fewer than one wrong word is what 95 % allow for."""
    wrong = 0
    for pair in range(12):
        a, b = (run(tmp_path / f"{pair}{side}", seed, spread_ms=8) for side, seed in (("a", 2 * pair), ("b", 2 * pair + 1)))
        wrong += compare(a, b).verdict != "cannot tell"
    assert wrong <= 2


def test_percentiles_of_too_few_samples_are_not_judged(tmp_path: Path) -> None:
    found = {figure.name: figure for figure in compare(run(tmp_path / "a", 1, count=300), run(tmp_path / "b", 2, count=300, ttft_ms=90)).figures}
    assert found["ttft_ms.p50"].verdict == "worse"
    assert (found["ttft_ms.p99"].verdict, found["ttft_ms.p99"].interval) == ("cannot tell", None)
    assert "too few samples: 300 of the" in found["ttft_ms.p99"].note


def test_a_difference_below_the_margin_is_neither_gain_nor_loss(tmp_path: Path) -> None:
    found = compare(run(tmp_path / "a", 1, spread_ms=0.01), run(tmp_path / "b", 2, spread_ms=0.01, ttft_ms=50.2))
    p50 = found.figures[0]
    assert p50.interval is not None
    assert 0 < p50.interval[0] < p50.interval[1] < 0.5
    assert p50.verdict == "cannot tell"


def repeats(folder: Path, seeds: list[int], **how: Any) -> Path:
    for number, seed in enumerate(seeds, 1):
        run(folder / f"run-{number}", seed, ttft_ms=how.get("ttft_ms", 50) + seed % 3, count=120)
    return folder


def test_repeats_are_compared_run_by_run(tmp_path: Path) -> None:
    found = compare(repeats(tmp_path / "a", [1, 2, 3, 4]), repeats(tmp_path / "b", [5, 6, 7, 8], ttft_ms=70))
    assert (found.a.runs, found.b.seeds) == (4, (5, 6, 7, 8))
    assert verdicts(found)["ttft_ms.p50"] == "worse"
    assert verdicts(found)["ttft_ms.p99"] == "worse"
    assert found.figures[0].method == "Welch's t over repeats"


def test_what_differs_from_run_to_run_widens_the_interval(tmp_path: Path) -> None:
    found = compare(repeats(tmp_path / "a", [1, 2]), repeats(tmp_path / "b", [4, 5]))
    assert found.verdict == "cannot tell"


def test_one_run_against_repeats_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"on both sides"):
        compare(run(tmp_path / "a", 1), repeats(tmp_path / "b", [1, 2]))


@pytest.mark.parametrize(
    ("load", "described", "words"),
    [
        (workload(arrivals={"kind": "poisson", "rate": 11}, slo={"ttft_ms": 60}), {}, r"arrivals\.rate: 10\.0 and 11\.0"),
        (workload(model="other", slo={"ttft_ms": 60}), {}, r"model: 'mock' and 'other'"),
        (workload(), {}, r"slo\.ttft_ms: 60\.0 and None"),
        (SLO, {"schema_version": "stackproof.bench/v0"}, r"schema_version"),
        (SLO, {"metrics_version": METRICS_VERSION - 1}, r"metrics_version"),
        (SLO, {"inputs": {"prompts.file": "00ff"}}, r"prompts\.file \(content\): None and '00ff'"),
    ],
)
def test_runs_of_another_kind_are_refused_by_name_of_what_differs(tmp_path: Path, load: Workload, described: dict[str, Any], words: str) -> None:
    a = run(tmp_path / "a", 1, count=60)
    with pytest.raises(BenchError, match=words):
        compare(a, run(tmp_path / "b", 2, load, count=60, described=described))


def test_name_and_seed_of_a_workload_may_differ(tmp_path: Path) -> None:
    renamed = workload(name="other", slo={"ttft_ms": 60})
    assert compare(run(tmp_path / "a", 1, count=60), run(tmp_path / "b", 2, renamed, count=60)).a.seeds == (1,)


def test_an_invalid_run_is_refused_unless_asked_for(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a", 1, count=60), run(tmp_path / "b", 2, count=60, described={"client": HEALTH.model_copy(update={"cpu_share": 0.97})})
    with pytest.raises(BenchError, match=r"INVALID \(client-bound.*--allow-invalid"):
        compare(a, b)
    assert "INVALID" in compare(a, b, allow_invalid=True).notes[0]


def test_a_published_summary_is_not_trusted(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a", 1), run(tmp_path / "b", 2, ttft_ms=55)
    (b / "summary.json").write_text("{}")
    assert compare(a, b).verdict == "worse"


def test_a_folder_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="neither a run"):
        compare(tmp_path, tmp_path)


def test_the_command_prints_json_and_ends_with_1_when_b_is_worse(tmp_path: Path) -> None:
    from stack.cli.main import app

    a, b = str(run(tmp_path / "a", 1)), str(run(tmp_path / "b", 2, ttft_ms=55))
    worse = CliRunner().invoke(app, ["bench", "compare", a, b, "--json"])
    assert worse.exit_code == 1
    assert json.loads(worse.stdout)["verdict"] == "worse"
    better = CliRunner().invoke(app, ["bench", "compare", b, a])
    assert better.exit_code == 0
    assert "B is better" in better.stdout


def summary(folder: Path, seed: int, **described: Any) -> Summary:
    folder.mkdir(parents=True)
    return summarize(write(folder, rows(seed, ttft_ms=50 + seed % 5, count=60), SLO, seed=seed, **described))


def test_repeats_have_a_seed_each_and_a_t_interval_over_the_runs(tmp_path: Path) -> None:
    found, summaries = run_repeats(3, out=tmp_path, seed=9, run=summary)
    assert found.seeds == tuple(repeat_seed(9, number) for number in (1, 2, 3))
    assert len(set(found.seeds)) == 3
    figure = found.figures["ttft_ms.p50"]
    assert figure.values == tuple(each.metrics.ttft_ms.p50 for each in summaries)
    assert figure.interval_95 is not None
    assert figure.mean is not None
    assert figure.interval_95[0] < figure.mean < figure.interval_95[1]
    assert json.loads((tmp_path / "repeats.json").read_text())["valid"] is True


def test_an_interrupted_repeat_is_the_last_and_makes_all_invalid(tmp_path: Path) -> None:
    found, _ = run_repeats(5, out=tmp_path, seed=9, run=lambda folder, seed: summary(folder, seed, state="interrupted"))
    assert (found.runs, found.valid) == (("run-1",), False)
    assert found.invalid_reasons[0].startswith("run-1: interrupted")


def test_repeats_never_leave_runs_of_an_earlier_measurement_beside_their_own(tmp_path: Path) -> None:
    summary(tmp_path / "run-4", 1)
    with pytest.raises(BenchError, match="run-4"):
        run_repeats(3, out=tmp_path, seed=9, run=lambda folder, seed: pytest.fail("must not run"))


def test_one_repeat_has_no_interval(tmp_path: Path) -> None:
    assert over_repeats([summary(tmp_path / "x", 1)]).figures["ttft_ms.p50"].interval_95 is None
