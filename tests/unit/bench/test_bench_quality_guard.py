"""The quality guard: reading a task, scoring an answer, and when a claim of speed is void."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from bench_kit import request, workload, write
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.evidence import figures
from bench.quality import quality_notes, quality_reasons, quality_view
from bench.quality.models import Answered, Expected, QualityAnswers, TaskInfo
from bench.quality.scoring import continuation_logprob, is_right, likeliest, matches_exactly
from bench.quality.store import read_quality, write_quality
from bench.quality.task import read_task
from bench.results.files import QUALITY, REQUESTS, TOKENS
from bench.results.metrics import summarize
from bench.results.samples import read_samples
from bench.workload import Workload, load_workload, ready_workloads
from bench.workload.prompts import Quality


def task(folder: Path, *lines: Any, score: str = "exact_match", **more: Any) -> Quality:
    path = folder / "task.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return Quality.model_validate({"file": path, "score": score, "floor": 0.5, **more})


def asked(right: int, wrong: int, failed: int = 0, never: int = 0, *, started_ns: int = 0) -> QualityAnswers:
    expected = Expected(answers=("yes",))
    said = ["yes"] * right + ["no"] * wrong + [None] * failed
    answers = tuple(Answered(id=str(place), expected=expected, answer=answer, right=answer == "yes") for place, answer in enumerate(said))
    info = TaskInfo(file="t.jsonl", sha256="0" * 64, score="exact_match", max_tokens=8, items=len(said) + never, run_started_ns=started_ns)
    return QualityAnswers(task=info, answers=answers)


def with_floor(floor: float, **more: Any) -> Workload:
    return workload(quality={"file": "/none.jsonl", "score": "exact_match", "floor": floor}, **more)


# Reading


def test_a_task_is_read_in_its_order_up_to_the_limit_and_known_by_its_hash(tmp_path: Path) -> None:
    lines = [{"prompt": f"{number}?", "answer": ["a", "b"]} for number in range(5)]
    info, items = read_task(task(tmp_path, *lines, limit=3))
    assert [item.id for item in items] == ["line-1", "line-2", "line-3"]
    assert items[0].expected == Expected(answers=("a", "b"))
    assert info.items == 3
    other, _ = read_task(task(tmp_path, *lines, {"prompt": "more?", "answer": "c"}, limit=3))
    assert other.sha256 != info.sha256


@pytest.mark.parametrize(
    ("score", "lines", "words"),
    [
        ("exact_match", [], "holds no question"),
        ("exact_match", ["{"], "line 1: not JSON"),
        ("exact_match", [{"prompt": "p", "answer": "a"}, {"prompt": "p"}], "line 2: field `answer`"),
        ("exact_match", [{"prompt": "p", "answer": "a", "answr": "b"}], "field `answr`"),
        ("exact_match", [{"id": "x", "prompt": "p", "answer": "a"}] * 2, "id 'x' stands twice"),
        ("regex", [{"prompt": "p", "pattern": "("}], "not a regular expression"),
        ("choice_logprob", [{"prompt": "p", "choices": ["a", "b"], "answer": "c"}], "answer must be one of choices"),
        ("choice_logprob", [{"prompt": "p", "choices": ["a", "b"], "answer": "a", "system": "s"}], "no system message"),
    ],
)
def test_a_mistake_in_a_task_is_one_line_that_names_its_place(tmp_path: Path, score: str, lines: list[Any], words: str) -> None:
    with pytest.raises(BenchError, match=r"quality\.file") as caught:
        read_task(task(tmp_path, *lines, score=score))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_task_names_the_field(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"field `quality.file`.*cannot be read"):
        read_task(Quality(file=tmp_path / "none.jsonl", score="regex", floor=0.5))


@pytest.mark.parametrize("path", [path for path in ready_workloads() if load_workload(path).quality is not None], ids=lambda path: path.stem)
def test_tasks_of_ready_workloads_can_be_read_and_their_questions_answered(path: Path) -> None:
    quality = load_workload(path).quality
    assert quality is not None
    info, items = read_task(quality)
    assert info.items >= 30
    for item in items:
        if quality.score == "regex" and item.expected.answers:
            assert is_right("regex", item.expected, f"The answer is {item.expected.answers[0]}.")


def test_some_ready_workload_names_a_task() -> None:
    assert any(load_workload(path).quality for path in ready_workloads())


# Scoring


def test_exact_match_overlooks_case_spaces_and_a_full_stop_and_nothing_else() -> None:
    assert matches_exactly(" Forty\n two. ", ("forty two",))
    assert matches_exactly("４２", ("42",))  # noqa: RUF001  # full-width digits are the same number
    assert not matches_exactly("forty two!", ("forty two",))
    assert not matches_exactly("about forty two", ("forty two",))


def test_a_pattern_with_an_answer_takes_the_last_place_and_its_first_group() -> None:
    expected = Expected(pattern=r"= (\d+)", answers=("12",))
    assert is_right("regex", expected, "3 * 4 = 11, no: 3 * 4 = 12")
    assert not is_right("regex", expected, "3 * 4 = 12, no: 3 * 4 = 11")
    assert not is_right("regex", expected, "12")


def test_a_pattern_alone_must_be_found() -> None:
    assert is_right("regex", Expected(pattern=r"\bred\b"), "it is red")
    assert not is_right("regex", Expected(pattern=r"\bred\b"), "it is reddish")


@pytest.mark.parametrize("score", ["exact_match", "regex", "choice_logprob"])
def test_a_request_without_an_answer_is_never_right(score: Any) -> None:
    assert not is_right(score, Expected(answers=("",), pattern="", choices=("", "a")), None)


def test_a_choice_is_scored_by_the_tokens_that_hold_it() -> None:
    tokens, logprobs = ["Q", ":", " two", " and", " three"], [None, -1.0, -2.0, -4.0, -8.0]
    assert continuation_logprob(tokens, logprobs, " and three") == -12.0
    # " two" begins before the choice and holds some of it.
    assert continuation_logprob(tokens, logprobs, "wo and three") == -14.0


def test_tokens_that_do_not_end_in_the_choice_are_refused() -> None:
    with pytest.raises(ValueError, match="not in"):
        continuation_logprob(["Q", " two", "</s>"], [None, -1.0, -1.0], " two")
    with pytest.raises(ValueError, match="words before"):
        continuation_logprob([" two"], [None], " two")
    with pytest.raises(ValueError, match="not in"):
        continuation_logprob(["o"], [-1.0], " two")


@given(st.lists(st.tuples(st.text(min_size=1, max_size=4), st.floats(-50, 0)), min_size=1, max_size=8), st.integers(1, 8))
def test_the_score_of_whole_tokens_is_the_sum_of_their_logprobs(words: list[tuple[str, float]], count: int) -> None:
    chosen = words[-count:]
    tokens, logprobs = ["start", *(word for word, _ in words)], [None, *(value for _, value in words)]
    assert math.isclose(continuation_logprob(tokens, logprobs, "".join(word for word, _ in chosen)), math.fsum(value for _, value in chosen), abs_tol=1e-9)


def test_the_first_of_equally_likely_choices_is_taken() -> None:
    assert likeliest([-3.0, -1.0, -1.0]) == 1


# The verdict


def test_accuracy_below_the_floor_with_its_whole_interval_voids_the_claim() -> None:
    view = quality_view(with_floor(0.9), asked(50, 50), [])
    assert view is not None
    (reason,) = quality_reasons(view)
    assert reason.startswith("void: accuracy 50.0% of 100 questions (95 %: 40.4% to 59.6%) is below the floor 90.0%")
    assert quality_notes(view) == []


def test_accuracy_that_cannot_be_told_voids_nothing_and_says_so() -> None:
    view = quality_view(with_floor(0.55), asked(10, 10), [])
    assert quality_reasons(view) == []
    (note,) = quality_notes(view)
    assert "cannot tell" in note
    assert "10 of 20 right" in note


def test_accuracy_above_the_floor_says_nothing() -> None:
    view = quality_view(with_floor(0.5), asked(95, 5), [])
    assert (quality_reasons(view), quality_notes(view)) == ([], [])


def test_questions_that_failed_or_were_never_asked_count_as_wrong() -> None:
    view = quality_view(with_floor(0.9), asked(20, 0, failed=10, never=20), [])
    assert view is not None
    assert view.accuracy is not None
    assert (view.accuracy.accuracy, view.accuracy.failed) == (0.4, 30)
    assert "30 of them without an answer" in quality_reasons(view)[0]


def test_a_right_that_was_written_into_the_file_proves_nothing() -> None:
    answers = asked(0, 50)
    forged = answers.model_copy(update={"answers": tuple(each.model_copy(update={"right": True}) for each in answers.answers)})
    view = quality_view(with_floor(0.5), forged, [])
    assert view is not None
    assert view.accuracy is not None
    assert view.accuracy.right == 0


def test_a_task_that_was_not_asked_voids_the_claim() -> None:
    assert quality_reasons(quality_view(with_floor(0.5), None, [])) == ["void: the workload's quality task was not asked"]


@pytest.mark.parametrize(("tokens", "holds"), [(89, False), (91, True), (109, True), (111, False)])
def test_output_lengths_must_stay_within_a_tenth_of_the_reference(tokens: int, holds: bool) -> None:
    view = quality_view(workload(reference={"output_tokens_mean": 100}), None, [tokens - 1.0, tokens + 1.0])
    assert view is not None
    assert view.lengths is not None
    assert view.lengths.holds is holds
    assert bool(quality_reasons(view)) is not holds


def test_unknown_lengths_are_told() -> None:
    view = quality_view(workload(reference={"output_tokens_mean": 100}), None, [])
    assert quality_reasons(view) == []
    assert quality_notes(view) == ["cannot tell whether output lengths hold: the server sent no usage block"]


def test_a_workload_that_asks_for_nothing_gets_no_view() -> None:
    assert quality_view(workload(), None, [5.0]) is None


# In a summary


def test_a_void_claim_makes_the_run_invalid_in_summary_and_evidence(tmp_path: Path) -> None:
    write_quality(tmp_path / QUALITY, asked(3, 40))
    summary = summarize(write(tmp_path, [request(index) for index in range(3)], with_floor(0.5)))
    assert not summary.valid
    assert any(reason.startswith("void: accuracy") for reason in summary.invalid_reasons)
    found = {figure.name: figure for figure in figures(summary)}
    assert found["bench.tiny.quality.accuracy.holds"].value is False
    assert QUALITY in found["bench.tiny.valid"].derived_from
    assert found["bench.tiny.quality.accuracy"].value == 3 / 43


def test_lengths_of_the_measured_requests_alone_are_held_to_the_reference(tmp_path: Path) -> None:
    rows = [request(0, phase="warmup", completion_tokens=500), *(request(index) for index in (1, 2)), request(3, status="timeout", completion_tokens=None)]
    summary = summarize(write(tmp_path, rows, workload(reference={"output_tokens_mean": 5})))
    assert summary.quality is not None
    assert summary.quality.lengths is not None
    assert (summary.quality.lengths.output_tokens_mean, summary.quality.lengths.requests) == (5, 2)
    assert not [reason for reason in summary.invalid_reasons if reason.startswith("void")]


def test_answers_survive_the_file(tmp_path: Path) -> None:
    answers = asked(2, 1, failed=1)
    write_quality(tmp_path / QUALITY, answers)
    assert read_quality(tmp_path / QUALITY) == answers
    assert read_quality(tmp_path / "none.jsonl") is None


def test_answers_of_another_run_are_refused(tmp_path: Path) -> None:
    write(tmp_path, [request(0)])
    write_quality(tmp_path / QUALITY, asked(1, 0, started_ns=77))
    with pytest.raises(BenchError, match="of another run"):
        read_samples(tmp_path / REQUESTS, tmp_path / TOKENS)


@pytest.mark.parametrize("text", ["", "{}\n", "[1\n", '{"task": 1}\n'])
def test_a_file_of_something_else_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / QUALITY).write_text(text)
    with pytest.raises(BenchError, match=QUALITY):
        read_quality(tmp_path / QUALITY)
