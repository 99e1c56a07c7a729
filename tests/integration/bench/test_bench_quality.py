"""A run with an accuracy task, against servers that answer right and wrong."""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Mock, RunLoad, StartMock  # type: ignore[import-not-found]

from bench import Workload
from bench.capacity import evidence as capacity_evidence
from bench.capacity.level import parse_level
from bench.capacity.plan import Sizes
from bench.capacity.run import SweepOptions, SweepTarget, find_capacity
from bench.errors import BenchError
from bench.evidence import draft, recompute
from bench.quality.ask import ask_quality
from bench.quality.store import read_quality
from bench.results.files import QUALITY
from bench.results.reconcile import reconcile
from stack.evidence import EvidenceStore
from stack.runtime.progress import Reporter

pytestmark = pytest.mark.slow

DATA = Path(__file__).parent / "quality-tiny.jsonl"


def task(folder: Path, *, right: int, wrong: int, floor: float) -> dict[str, Any]:
    """Questions that the mock, which begins with the prompt's last word, answers right and wrong."""
    path = folder / "task.jsonl"
    lines = [{"prompt": f"say {number}", "answer": str(number)} for number in range(right)]
    lines += [{"prompt": f"say {number}", "answer": "something else"} for number in range(wrong)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"file": path, "score": "exact_match", "floor": floor, "max_tokens": 1}


def test_a_server_that_answers_right_keeps_its_claim_and_the_evidence_holds_the_answers(
    start_mock: StartMock, run_load: RunLoad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACKPROOF_CONFIG", str(tmp_path / "config"))
    result = run_load(start_mock("--say", "prompt"), quality=task(tmp_path, right=20, wrong=0, floor=0.5), reference={"output_tokens_mean": 16})
    assert result.summary.quality is not None
    assert result.summary.quality.accuracy is not None
    assert result.summary.quality.accuracy.holds is True
    assert not [reason for reason in result.summary.invalid_reasons if reason.startswith("void")]
    answers = read_quality(result.out / QUALITY)
    assert answers is not None
    assert [(each.id, each.answer, each.right) for each in answers.answers[:2]] == [("line-1", "0", True), ("line-2", "1", True)]
    assert answers.answers[0].completion_tokens == 1
    assert reconcile(result.out) == []
    store = EvidenceStore(tmp_path / "evidence")
    store.write(*draft(result.summary, result.out))
    (stored,) = list(store.verify())
    assert tuple(recompute(stored)) == stored.record.figures
    assert stored.record.artifact(QUALITY) is not None


def test_a_server_that_answers_wrong_loses_its_claim(start_mock: StartMock, run_load: RunLoad, tmp_path: Path) -> None:
    result = run_load(start_mock("--say", "prompt"), quality=task(tmp_path, right=4, wrong=16, floor=0.9))
    assert not result.summary.valid
    assert any(reason.startswith("void: accuracy 20.0% of 20 questions") for reason in result.summary.invalid_reasons)
    assert reconcile(result.out) == []


def test_answers_of_another_length_than_the_references_void_the_claim(start_mock: StartMock, run_load: RunLoad) -> None:
    result = run_load(start_mock("--short-under-load"), reference={"output_tokens_mean": 16})
    assert not result.summary.valid
    assert any(reason.startswith("void: answers have") for reason in result.summary.invalid_reasons)


def test_a_confirmed_capacity_rests_on_the_task_and_its_evidence_holds_the_answers(
    start_mock: StartMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACKPROOF_CONFIG", str(tmp_path / "config"))
    document = {
        "name": "short",
        "model": "mock",
        "arrivals": {"kind": "constant", "rate": 1},
        "prompts": {"kind": "text", "text": "hello", "max_tokens": 8},
        "stop": {"requests": 64},
        "quality": task(tmp_path, right=0, wrong=20, floor=0.5),
    }
    level, options = parse_level("ttft_p90=1s,error_rate=0%"), SweepOptions(start=16.0, highest=16.0, sizes=Sizes(search_s=1.5, confirm_s=5.0))
    target, reporter = SweepTarget(start_mock("--say", "prompt").url), Reporter(StringIO())
    result = find_capacity(Workload.model_validate(document), level, target=target, out=tmp_path / "sweep", options=options, reporter=reporter)
    confirming = [probe for probe in result.probes if probe.kind == "confirm"]
    assert confirming
    assert not any(probe.valid for probe in confirming)
    store = EvidenceStore(tmp_path / "evidence")
    store.write(*capacity_evidence.draft(result, tmp_path / "sweep"))
    (stored,) = list(store.verify())
    assert tuple(capacity_evidence.recompute(stored)) == stored.record.figures
    assert stored.record.artifact(f"{confirming[-1].name}.{QUALITY}") is not None


def test_the_task_is_not_part_of_the_measured_load(start_mock: StartMock, run_load: RunLoad, tmp_path: Path) -> None:
    mock = start_mock("--say", "prompt")
    result = run_load(mock, quality=task(tmp_path, right=20, wrong=0, floor=0.5))
    assert result.summary.requests.sent == 8


def test_a_faulty_task_is_told_before_anything_is_sent(start_mock: StartMock, run_load: RunLoad, tmp_path: Path) -> None:
    mock = start_mock()
    (tmp_path / "bad.jsonl").write_text('{"prompt": "p"}\n')
    with pytest.raises(BenchError, match=r"field `quality\.file`.*line 1: field `answer`"):
        run_load(mock, quality={"file": tmp_path / "bad.jsonl", "score": "exact_match", "floor": 0.5})
    assert mock.truth() == {}


def test_choices_on_a_server_without_log_probabilities_are_one_line_with_the_mend(start_mock: StartMock, run_load: RunLoad, tmp_path: Path) -> None:
    (tmp_path / "choices.jsonl").write_text('{"prompt": "1 + 1 =", "choices": [" 2", " 3"], "answer": " 2"}\n')
    with pytest.raises(BenchError, match=r"choice_logprob: the endpoint does not tell.*the engine's own URL"):
        run_load(start_mock(), quality={"file": tmp_path / "choices.jsonl", "score": "choice_logprob", "floor": 0.5})


def test_questions_to_a_server_that_is_gone_are_recorded_as_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.serving.chat._backoff_s", lambda attempt: 0.0)
    workload = Workload.model_validate(
        {
            "model": "mock",
            "arrivals": {"kind": "concurrency", "streams": 1},
            "prompts": {"kind": "text", "text": "hello", "max_tokens": 1},
            "stop": {"requests": 1},
            "quality": task(tmp_path, right=3, wrong=0, floor=0.5),
        }
    )
    answers = ask_quality(workload, url="http://127.0.0.1:1")
    assert answers is not None
    assert [each.answer for each in answers.answers] == [None] * 3
    assert all("refused" in each.error for each in answers.answers)


def test_the_command_says_void_and_ends_with_1(start_mock: StartMock, tmp_path: Path) -> None:
    mock: Mock = start_mock("--say", "prompt")
    document = {
        "model": "mock",
        "arrivals": {"kind": "concurrency", "streams": 2},
        "prompts": {"kind": "text", "text": "hello", "max_tokens": 4},
        "stop": {"requests": 4},
        "quality": {**task(tmp_path, right=0, wrong=20, floor=0.5), "file": "task.jsonl"},
    }
    (tmp_path / "load.yaml").write_text(yaml.safe_dump(document))
    command = [sys.executable, "-m", "stack.cli.main", "bench", "run", "load.yaml", "--url", mock.url]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "void: accuracy 0.0% of 20 questions" in done.stdout
