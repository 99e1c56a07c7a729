import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.apps import APPS, AppError, Evaluation, find_app
from stack.apps.evidence import draft, recompute
from stack.apps.proportion import Proportion
from stack.apps.transit import TripAnswerer
from stack.apps.transit.evaluation.figures import PREDICTIONS, STOP_NAMES, by_kind, figures, read_predictions
from stack.apps.transit.evaluation.generate import SEED, generate
from stack.apps.transit.evaluation.predictions import Best, Outcome, Prediction, Question, invents, is_optimal, slots_match
from stack.apps.transit.evaluation.run import QUESTIONS, _best, evenly
from stack.apps.transit.feed import Feed
from stack.apps.transit.reading import EXAMPLES, read_by_words, read_question
from stack.evidence import EvidenceStore


def predict(feed: Feed, question: Question, asked: str | None = None) -> Prediction:
    """A prediction without a model: both sides read by words, the first from `asked` when it is given."""
    answerer = TripAnswerer(feed)
    model, baseline = (
        Outcome.of(answerer.answer_reading(read_by_words(read_question(answerer.names, text, today=feed.first_day))))
        for text in (asked or question.question, question.question)
    )
    return Prediction(
        question=question, best=_best(feed, question.gold), model=model, baseline=baseline, asked_model=True, prompt_tokens=10, completion_tokens=2
    )


def to_furnace_creek() -> Question:
    gold = {"from": "STAGECOACH", "to": "FUR_CREEK_RES", "date": "2007-06-06", "depart_s": 25200}
    return Question.model_validate({"id": "q", "kind": "plain", "question": "From the Stagecoach to Furnace Creek on 6 June 2007 at 7:00", "gold": gold})


def test_the_questions_in_the_tree_are_those_of_their_seed() -> None:
    assert [json.loads(line) for line in QUESTIONS.read_text().splitlines()] == list(generate(SEED))
    assert list(generate(1)) != list(generate(SEED))


def test_the_questions_name_stops_of_the_feed_and_are_worded_unlike_the_examples(feed: Feed) -> None:
    questions = [Question.model_validate(each) for each in generate(SEED)]
    assert len(questions) == 60
    assert {stop for each in questions for stop in (each.gold.origin, each.gold.destination)} - {None} == set(feed.stops)
    openings = {asked.split("Boston")[0].split("Seattle")[0].split("Dallas")[0].split("Phoenix")[0] for asked, _ in EXAMPLES}
    assert not [each.question for each in questions for opening in openings if each.question.startswith(opening)]


@pytest.mark.parametrize("seed", range(20))
def test_any_seed_makes_questions_that_fit_the_limit(seed: int) -> None:
    assert all(len(str(each["question"])) <= 300 for each in generate(seed))


@pytest.mark.slow
def test_a_right_answer_counts_and_each_way_of_being_wrong_does_not(feed: Feed) -> None:
    question = to_furnace_creek()
    right = predict(feed, question)
    assert right.best == Best(depart_s=27000, arrive_s=33600)
    assert slots_match(right.model, question.gold)
    assert is_optimal(right.model, right)
    for asked in (
        "From Furnace Creek to the Stagecoach on 6 June 2007 at 7:00",
        "From the Stagecoach to Furnace Creek on 7 June 2007 at 7:00",
        "From the Stagecoach to Bullfrog on 6 June 2007 at 7:00",
        "From nowhere to Furnace Creek on 6 June 2007 at 7:00",
    ):
        wrong = predict(feed, question, asked)
        assert not slots_match(wrong.model, question.gold)
        assert not is_optimal(wrong.model, wrong)
    # A wrong time that leads to the same journey is a wrong slot and a right journey.
    later = predict(feed, question, "From the Stagecoach to Furnace Creek on 6 June 2007 at 7:10")
    assert (slots_match(later.model, question.gold), is_optimal(later.model, later)) == (False, True)


def test_a_stop_or_a_time_that_no_tool_gave_is_found_in_the_text(feed: Feed) -> None:
    names = TripAnswerer(feed).names.labels
    told = predict(feed, to_furnace_creek()).model
    assert not invents(told, names)
    assert invents(told.model_copy(update={"text": f"{told.text} A train leaves at 03:33."}), names)
    assert invents(told.model_copy(update={"text": f"{told.text} Get off at Amargosa Valley."}), names)


def test_fewer_questions_are_taken_evenly_over_the_kinds() -> None:
    questions = [Question.model_validate(each) for each in generate(SEED)]
    assert evenly(questions, None) == evenly(questions, 99) == questions
    assert len({each.kind for each in evenly(questions, 8)}) >= 5
    assert len(set(evenly_ids := [each.id for each in evenly(questions, 7)])) == len(evenly_ids) == 7


def test_the_record_names_its_figures_files_and_they_are_worked_out_again_exactly(feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACKPROOF_CONFIG", str(tmp_path / "config"))
    predictions = [predict(feed, Question.model_validate(each)) for each in list(generate(SEED))[::6]]
    out = tmp_path / "out"
    out.mkdir()
    (out / PREDICTIONS).write_text("".join(each.model_dump_json(by_alias=True) + "\n" for each in predictions))
    (out / STOP_NAMES).write_text(json.dumps(TripAnswerer(feed).names.labels))
    assert read_predictions(out / PREDICTIONS) == predictions
    found = figures(lambda name: out / name)
    done = Evaluation(
        APPS[0], "a model", out, {PREDICTIONS: "samples", STOP_NAMES: "config"}, {}, tuple(found), 1.5, {"slots_right_by_kind": by_kind(predictions)}
    )
    stored = EvidenceStore(tmp_path / "evidence").write(*draft(done))
    assert recompute(stored) == [figure for figure in stored.record.figures if figure.derived_from]
    values = {figure.name: figure.value for figure in stored.record.figures}
    assert values["transit.questions"] == len(predictions)
    assert values["transit.prompt_tokens"] == 10 * len(predictions)
    assert values["transit.invented_rate.model"] == 0
    assert values["transit.slot_accuracy.model"] == values["transit.slot_accuracy.baseline"]
    assert values["transit.slot_accuracy.model.low"] < values["transit.slot_accuracy.model"] <= values["transit.slot_accuracy.model.high"]


def test_a_faulty_prediction_is_told_by_its_line(tmp_path: Path) -> None:
    (tmp_path / PREDICTIONS).write_text("{}\n")
    with pytest.raises(AppError, match=r"predictions\.jsonl line 1: field `question`: Field required"):
        read_predictions(tmp_path / PREDICTIONS)


def test_an_unknown_app_is_told_with_those_there_are() -> None:
    with pytest.raises(AppError, match="there is no app 'taxi': choose one of transit"):
        find_app("taxi")


def test_a_day_outside_the_feed_or_a_strange_stop_has_no_best_journey(feed: Feed) -> None:
    gold = to_furnace_creek().gold
    assert _best(feed, gold.model_copy(update={"day": date(2011, 1, 3)})) is None
    assert _best(feed, gold.model_copy(update={"origin": None})) is None


def test_the_wilson_interval_is_the_published_one() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, and the ends.
    for successes, total, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)):
        interval = Proportion(successes, total).wilson()
        assert interval is not None
        assert [round(end, 4) for end in interval] == [low, high]


@given(st.integers(1, 10_000), st.data())
def test_the_interval_holds_the_share_and_stays_in_its_bounds(total: int, data: st.DataObject) -> None:
    proportion = Proportion(data.draw(st.integers(0, total)), total)
    interval, share = proportion.wilson(), proportion.share
    assert interval is not None
    assert share is not None
    assert 0 <= interval[0] <= share + 1e-12
    assert share - 1e-12 <= interval[1] <= 1


def test_nothing_counted_has_no_share() -> None:
    assert Proportion.of([]).share is None
    assert Proportion.of([]).wilson() is None
