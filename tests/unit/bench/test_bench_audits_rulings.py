"""The audits' rulings, from hand-made outcomes: an honest server passes, a cheating one fails, too little tells nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from bench_kit import MS, request, workload, write

from bench.audits import TESTS, Ruling, Subject
from bench.audits.agreement import overlap
from bench.audits.asking import read_answers, write_answers
from bench.audits.bodies import bodies_of
from bench.audits.models import AskedAnswer, worst
from bench.audits.protocol import MEASURED, Asked, AskPhase, Loaded, LoadPhase, Outcome
from bench.audits.share import judge_share
from bench.audits.subject import choose
from bench.errors import BenchError
from bench.results.metrics import summarize
from bench.workload import Workload

CLOSED = {"kind": "concurrency", "streams": 2}


def subject(load: Workload | None = None, **more: Any) -> Subject:
    return Subject.model_validate({"workload": load or workload(), "seed": 7, "audit_seed": 9, **more})


def answer(index: int, text: str = "one two three", **changes: Any) -> AskedAnswer:
    """Three tokens in three events, at the most that were asked for."""
    pieces = tuple(f" {word}" for word in text.split())
    given = {"index": index, "max_tokens": 3, "pieces": pieces, "finish_reason": "length", "completion_tokens": len(pieces)}
    return AskedAnswer.model_validate({**given, **changes})


def load(folder: Path, rows: list[dict[str, Any]], load: Workload | None = None, **run: Any) -> Loaded:
    folder.mkdir(parents=True, exist_ok=True)
    samples = write(folder, rows, load, **run)
    return Loaded(samples, summarize(samples))


def asked(*answers: AskedAnswer) -> Asked:
    return Asked(answers)


# TEST01


def agreement(folder: Path, under_load: list[str], alone: list[str], again: list[str] | None = None) -> Ruling:
    def lone(texts: list[str]) -> Asked:
        return asked(*(answer(index, text, completion_tokens=len(text.split())) for index, text in enumerate(texts)))

    rows = [request(index, text="".join(f" {word}" for word in text.split()), completion_tokens=len(text.split())) for index, text in enumerate(under_load)]
    done: dict[str, Outcome] = {MEASURED: load(folder, rows), "alone": lone(alone), "again": lone(again or alone)}
    return TESTS["TEST01"].verify(subject(), done)


TRUE = [f"the answer to question {number} is known" for number in range(40)]


def test_equal_answers_under_load_and_alone_pass(tmp_path: Path) -> None:
    ruling = agreement(tmp_path, TRUE, TRUE)
    assert ruling.verdict == "pass"
    assert (ruling.figures["exact"], ruling.figures["agreement"]) == (40, 1.0)


def test_other_answers_under_load_fail_and_one_is_shown(tmp_path: Path) -> None:
    ruling = agreement(tmp_path, ["nobody knows anything at all of it today"] * 40, TRUE)
    assert ruling.verdict == "fail"
    assert "0 of 40 answers under load agree" in ruling.reason
    assert "nobody" in ruling.examples[0]


def test_shorter_answers_under_load_fail_even_when_they_begin_alike(tmp_path: Path) -> None:
    ruling = agreement(tmp_path, [" ".join(text.split()[:5]) for text in TRUE], TRUE)
    assert ruling.figures["agreement"] == 1.0
    assert ruling.verdict == "fail"
    assert "shorter" in ruling.reason


def test_answers_that_part_late_agree_as_rounding_under_load_makes_them(tmp_path: Path) -> None:
    ruling = agreement(tmp_path, [text.replace("known", "clear") for text in TRUE], TRUE)
    assert ruling.verdict == "pass"
    assert ruling.figures["exact"] == 0


def test_a_server_that_does_not_repeat_itself_alone_cannot_be_told_to_cheat(tmp_path: Path) -> None:
    ruling = agreement(tmp_path, ["some other words here than those seen before"] * 40, TRUE, ["again quite other words than any seen before"] * 40)
    assert ruling.verdict == "cannot tell"
    assert "does not repeat itself" in ruling.reason


def test_few_answers_tell_nothing(tmp_path: Path) -> None:
    assert agreement(tmp_path, TRUE[:5], TRUE[:5]).verdict == "cannot tell"


def test_the_evaluators_seed_chooses_what_is_asked_again(tmp_path: Path) -> None:
    done = {MEASURED: load(tmp_path, [request(index, text="words") for index in range(50)], workload(stop={"requests": 50}))}
    chosen = []
    for seed in (1, 1, 2):
        alone, again = TESTS["TEST01"].plan_runs(subject(audit_seed=seed, sample=5), done)
        assert isinstance(alone, AskPhase)
        assert isinstance(again, AskPhase)
        assert (alone.bodies, alone.concurrency) == (again.bodies, 1)
        chosen.append(list(alone.bodies))
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(chosen[0]) == 5


def test_the_same_prompts_are_asked_again_at_temperature_0() -> None:
    first, second = bodies_of(workload(), 7, [0, 3]).values()
    assert first["messages"] != second["messages"]
    assert bodies_of(workload(), 7, [3])[3] == second
    assert second["temperature"] == 0
    assert "stream" not in second


def test_a_run_that_did_not_keep_its_text_says_how_to_keep_it(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="--keep-text"):
        TESTS["TEST01"].plan_runs(subject(), {MEASURED: load(tmp_path, [request(0)])})


def test_a_run_at_a_temperature_is_refused(tmp_path: Path) -> None:
    done = {MEASURED: load(tmp_path, [request(0, text="words")], workload(temperature=0.7))}
    with pytest.raises(BenchError, match="field `temperature`"):
        TESTS["TEST01"].plan_runs(subject(), done)


def test_overlap_is_the_common_beginning_of_the_longer() -> None:
    assert overlap("", "") == 1
    assert overlap("abcd", "abcdefgh") == 0.5
    assert overlap("abcd", "bbcd") == 0


# TEST04


def round_of(folder: Path, name: str, gap_ms: int, **run: Any) -> Loaded:
    """A closed loop of one stream that begins a request every `gap_ms`."""
    rows = []
    for index in range(20):
        start = index * gap_ms
        stamps = {"intended_ns": start, "due_ns": start, "dispatched_ns": start, "sent_ns": start, "first_content_ns": start + gap_ms // 2}
        late = {"first_visible_ns": start + gap_ms // 2, "last_content_ns": start + gap_ms, "closed_ns": start + gap_ms}
        rows.append(request(index, **{key: value * MS for key, value in {**stamps, **late}.items()}, empty_choices_ns=[]))
    return load(folder / name, rows, workload(arrivals={"kind": "concurrency", "streams": 1}), **run)


def caching(folder: Path, gaps: list[tuple[int, int]], **run: Any) -> Ruling:
    done: dict[str, Outcome] = {}
    for number, (distinct, repeated) in enumerate(gaps, 1):
        done[f"distinct-{number}"] = round_of(folder, f"d{number}", distinct, **run)
        done[f"repeated-{number}"] = round_of(folder, f"r{number}", repeated)
    return TESTS["TEST04"].verify(subject(workload(arrivals=CLOSED), rounds=len(gaps)), done)


def test_repeats_that_take_as_long_pass(tmp_path: Path) -> None:
    assert caching(tmp_path, [(100, 100), (102, 101), (99, 100)]).verdict == "pass"


def test_repeats_answered_a_third_faster_fail(tmp_path: Path) -> None:
    ruling = caching(tmp_path, [(100, 75), (102, 76), (99, 74)])
    assert ruling.verdict == "fail"
    assert ruling.figures["faster"] == pytest.approx(1 / 3, rel=0.05)
    assert "prefix cache" in ruling.notes[0]


def test_noise_between_rounds_cannot_tell(tmp_path: Path) -> None:
    assert caching(tmp_path, [(100, 60), (100, 120), (100, 95)]).verdict == "cannot tell"


def test_a_failure_measured_against_an_invalid_phase_is_none(tmp_path: Path) -> None:
    ruling = caching(tmp_path, [(100, 75), (102, 76), (99, 74)], state="interrupted")
    assert ruling.verdict == "cannot tell"
    assert "INVALID" in ruling.reason


def test_both_kinds_of_phase_ask_the_same_texts_of_one_length() -> None:
    phases = TESTS["TEST04"].plan_runs(subject(workload(arrivals=CLOSED, prompts={"kind": "text", "text": "hello", "max_tokens": 9}), sample=3, rounds=2), {})
    assert [phase.name for phase in phases] == ["distinct-1", "repeated-1", "repeated-2", "distinct-2"]
    assert len({phase.seed for phase in phases if isinstance(phase, LoadPhase)}) == 4
    words = []
    for phase in phases[:2]:
        assert isinstance(phase, LoadPhase)
        said = [body["messages"][0]["content"] for body in bodies_of(phase.workload, phase.seed, range(30)).values()]
        words.append(said)
        assert phase.workload.warmup.requests >= 9
    assert (len(set(words[0])), len(set(words[1]))) == (30, 3)
    assert {len(text) for text in words[0]} == {len(text) for text in words[1]}


def test_caching_is_audited_in_closed_loop_only() -> None:
    with pytest.raises(BenchError, match=r"field `arrivals`: kind poisson"):
        TESTS["TEST04"].plan_runs(subject(), {})


# TEST06


def streams(streamed: list[AskedAnswer], whole: list[AskedAnswer] | None = None) -> Ruling:
    joined = [each.model_copy(update={"pieces": (each.text,), "after_finish": "", "hidden_events": 0}) for each in streamed]
    return TESTS["TEST06"].verify(subject(), {"streamed": asked(*streamed), "whole": asked(*(whole or joined))})


def many(**changes: Any) -> list[AskedAnswer]:
    return [answer(index, **changes) for index in range(40)]


def test_streams_that_are_what_they_claim_pass() -> None:
    assert streams(many()).verdict == "pass"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"completion_tokens": 2}, "usage says 80 tokens, the streams had 120 events"),
        ({"completion_tokens": 4}, "0 of 40 finish reasons fit"),
        ({"completion_tokens": 3, "max_tokens": 8}, "0 of 40 finish reasons fit"),
        ({"finish_reason": "content_filter"}, "0 of 40 finish reasons fit"),
        ({"after_finish": " more"}, "0 of 40 streams end with the finish reason"),
        ({"text_tokens": 2}, "usage says 120 tokens, the tokenizer finds 80"),
        ({"end_marks": 1}, "0 of 40 texts hold no end mark"),
    ],
)
def test_each_false_claim_of_a_stream_fails_and_is_named(changes: dict[str, Any], words: str) -> None:
    ruling = streams(many(**changes))
    assert ruling.verdict == "fail"
    assert words in ruling.reason


def test_an_end_token_in_the_usage_of_a_stopped_answer_is_no_miscount() -> None:
    assert streams(many(finish_reason="stop", completion_tokens=4, max_tokens=9, text_tokens=3)).verdict == "pass"
    assert streams(many(finish_reason="stop", completion_tokens=5, max_tokens=9, text_tokens=3)).verdict == "fail"


def test_a_model_that_spells_a_text_with_more_tokens_is_no_miscount_where_events_bear_it_out() -> None:
    spelled = [answer(index, text_tokens=2 if index < 5 else 3) for index in range(40)]
    assert streams(spelled).verdict == "pass"
    lumped = [each.model_copy(update={"pieces": (each.text,)}) for each in spelled]
    assert streams(lumped).verdict == "cannot tell"
    assert streams([answer(index, text_tokens=2 if index < 10 else 3) for index in range(40)]).verdict == "fail"


def test_events_of_several_tokens_cannot_be_counted_without_a_tokenizer() -> None:
    ruling = streams(many(pieces=(" one two", " three")))
    assert ruling.verdict == "cannot tell"
    assert "--tokenizer" in ruling.reason
    assert streams(many(pieces=(" one two", " three"), text_tokens=3)).verdict == "pass"


def test_a_stream_without_usage_cannot_tell() -> None:
    assert streams(many(completion_tokens=None)).verdict == "cannot tell"


def test_a_first_piece_that_is_not_in_the_final_text_fails() -> None:
    ruling = streams(many(pieces=("Sure!", " one", " two")), many(pieces=(" one two three",)))
    assert ruling.verdict == "fail"
    assert "0 of 40 first pieces open the final text" in ruling.reason
    assert "'Sure! one two'" in ruling.examples[0]


def test_failed_requests_are_left_out_and_told() -> None:
    ruling = streams([*many(), answer(40, error="http_500: out of memory", finish_reason=None, pieces=())])
    assert ruling.verdict == "pass"
    assert "out of memory" in ruling.notes[0]


def test_nothing_answered_tells_nothing() -> None:
    assert streams([answer(0, error="http_500", pieces=())]).verdict == "cannot tell"


def test_natural_ends_are_asked_for_whatever_the_workload_does() -> None:
    streamed, whole = TESTS["TEST06"].plan_runs(subject(workload(prompts={"kind": "text", "text": "hello", "max_tokens": 5, "ignore_eos": True})), {})
    assert isinstance(streamed, AskPhase)
    assert isinstance(whole, AskPhase)
    assert (streamed.stream, whole.stream) == (True, False)
    assert streamed.bodies == whole.bodies
    assert all("ignore_eos" not in body for body in streamed.bodies.values())


# TEST09


def lengths(folder: Path, tokens: list[int], reference: float) -> Ruling:
    load_of = workload(reference={"output_tokens_mean": reference})
    rows = [request(index, completion_tokens=count) for index, count in enumerate(tokens)]
    return TESTS["TEST09"].verify(subject(load_of), {MEASURED: load(folder, rows, load_of)})


@pytest.mark.parametrize(
    ("tokens", "reference", "verdict"),
    [
        ([98, 102] * 20, 100, "pass"),
        ([98, 102] * 20, 120, "fail"),
        ([98, 102] * 20, 80, "fail"),
        ([50, 150] * 5, 100, "cannot tell"),
        ([100], 100, "cannot tell"),
    ],
)
def test_mean_lengths_are_held_to_a_tenth_of_the_reference(tmp_path: Path, tokens: list[int], reference: float, verdict: str) -> None:
    assert lengths(tmp_path, tokens, reference).verdict == verdict


def test_lengths_need_a_reference() -> None:
    with pytest.raises(BenchError, match="--reference-tokens"):
        TESTS["TEST09"].plan_runs(subject(), {})


def test_a_run_is_not_measured_again_for_its_lengths(tmp_path: Path) -> None:
    load_of = workload(reference={"output_tokens_mean": 5})
    assert TESTS["TEST09"].plan_runs(subject(load_of), {MEASURED: load(tmp_path, [request(0)], load_of)}) == []


# What they share


def test_one_failure_fails_the_whole() -> None:
    assert worst(["pass", "fail", "cannot tell"]) == "fail"
    assert worst(["pass", "cannot tell"]) == "cannot tell"
    assert worst([]) == "cannot tell"


def test_a_share_is_judged_by_its_whole_interval() -> None:
    assert judge_share(40, 40, least=0.9, what="x")[0] == "pass"
    assert judge_share(20, 20, least=0.9, what="x")[0] == "cannot tell"
    assert judge_share(10, 20, least=0.9, what="x")[0] == "fail"
    assert judge_share(0, 0, least=0.9, what="x")[0] == "cannot tell"


def test_answers_survive_the_file(tmp_path: Path) -> None:
    answers = (answer(1), answer(2, "", error="x", pieces=()))
    write_answers(tmp_path / "a.jsonl", answers)
    assert read_answers(tmp_path / "a.jsonl") == answers
    (tmp_path / "a.jsonl").write_text(json.dumps({"index": "no"}) + "\n")
    with pytest.raises(BenchError, match=r"a\.jsonl"):
        read_answers(tmp_path / "a.jsonl")


def test_a_run_is_audited_by_its_own_seed_and_a_workload_by_the_evaluators(tmp_path: Path) -> None:
    write(tmp_path, [request(0)], seed=77)
    of_run = choose(str(tmp_path), seed=5)
    assert (of_run.subject.seed, of_run.subject.audit_seed, of_run.run) == (77, 5, tmp_path)
    of_workload = choose("chat-quality", model="m", seed=5, reference_tokens=10)
    assert (of_workload.subject.seed, of_workload.subject.audit_seed, of_workload.run) == (5, 5, None)
    assert of_workload.subject.workload.quality is None
    assert of_workload.subject.workload.reference is not None


@pytest.mark.parametrize(
    ("source", "model", "words"), [(".", None, "not the folder of a run"), ("none", None, "neither a file"), ("chat-closed", None, "--model")]
)
def test_what_cannot_be_audited_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, model: str | None, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchError, match=words):
        choose(source, model=model)


def test_a_run_of_another_model_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [request(0)])
    with pytest.raises(BenchError, match="--model other: the run was of mock"):
        choose(str(tmp_path), model="other")
