"""Put the questions to the model and to the baseline (edge)."""

import asyncio
import hashlib
import json
import ssl
import time
from importlib.resources import files
from pathlib import Path

from stack.apps.catalog import App, Evaluation
from stack.apps.transit.answerer import TripAnswerer, sample_feed
from stack.apps.transit.evaluation.figures import PREDICTIONS, STOP_NAMES, by_kind, figures
from stack.apps.transit.evaluation.oracle import best_times
from stack.apps.transit.evaluation.predictions import Best, Gold, Outcome, Prediction, Question
from stack.apps.transit.feed import Feed
from stack.apps.transit.reading import ASK, EXAMPLES, read_by_model, read_by_words, read_question
from stack.apps.transit.search import CHANGE_S
from stack.apps.transit.timetable import build_timetable
from stack.runtime.files import write_atomic
from stack.runtime.progress import Reporter
from stack.serving.chat import ChatClient

QUESTIONS = files("stack.apps.transit.evaluation") / "questions.jsonl"
CONCURRENCY = 8
SCORE = "app_score.json"


async def evaluate(
    app: App, *, url: str, api_key: str | None, tls: ssl.SSLContext | None, model: str, out: Path, limit: int | None, reporter: Reporter
) -> Evaluation:
    """All questions, or `limit` of them evenly over the kinds; ChatFailedError when the model does not answer."""
    text = QUESTIONS.read_text(encoding="utf-8")
    questions = evenly([Question.model_validate_json(line) for line in text.splitlines()], limit)
    feed = sample_feed()
    answerer = TripAnswerer(feed)
    started = time.monotonic()
    with reporter.step(f"Asking {app.name} {len(questions)} questions", total=len(questions)) as step:
        async with ChatClient(url, model, api_key, concurrency=CONCURRENCY, tls=tls) as client:

            async def one(question: Question) -> Prediction:
                prediction = await _predict(answerer, client, question)
                step.advance()
                return prediction

            predictions = await asyncio.gather(*(one(question) for question in questions))
    seconds = time.monotonic() - started
    write_atomic(out / PREDICTIONS, "".join(each.model_dump_json(by_alias=True) + "\n" for each in predictions))
    write_atomic(out / STOP_NAMES, json.dumps(answerer.names.labels, indent=1))
    found = figures(lambda name: out / name)
    kinds = by_kind(predictions)
    score = {"app": app.name, "model": model, "seconds": round(seconds, 3), "figures": {each.name: each.value for each in found}, "slots_right_by_kind": kinds}
    write_atomic(out / SCORE, json.dumps(score, indent=1) + "\n")
    return Evaluation(
        app=app,
        model=model,
        out=out,
        artifacts={PREDICTIONS: "samples", STOP_NAMES: "config"},
        config={
            "questions_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "feed": feed.name,
            "feed_sha256": feed.sha256,
            "limit": limit,
            "ask": ASK,
            "examples": [list(example) for example in EXAMPLES],
            "change_s": CHANGE_S,
        },
        figures=tuple(found),
        seconds=seconds,
        results={"slots_right_by_kind": kinds},
    )


def evenly(questions: list[Question], limit: int | None) -> list[Question]:
    """`limit` questions at even distances, so that each kind keeps about its share; all when there are no more."""
    if limit is None or limit >= len(questions):
        return questions
    return [questions[index * len(questions) // limit] for index in range(limit)]


async def _predict(answerer: TripAnswerer, client: ChatClient, question: Question) -> Prediction:
    asked = read_question(answerer.names, question.question, today=answerer.feed.first_day)
    reading = await read_by_model(client, asked)
    return Prediction(
        question=question,
        best=_best(answerer.feed, question.gold),
        model=Outcome.of(answerer.answer_reading(reading)),
        baseline=Outcome.of(answerer.answer_reading(read_by_words(asked))),
        asked_model=bool(reading.asked),
        prompt_tokens=reading.prompt_tokens,
        completion_tokens=reading.completion_tokens,
    )


def _best(feed: Feed, gold: Gold) -> Best | None:
    """What the oracle finds; None when a stop is unknown, the feed does not cover the day, or there is no way."""
    if gold.origin is None or gold.destination is None or not feed.first_day <= gold.day <= feed.last_day:
        return None
    times = best_times(build_timetable(feed, gold.day), gold.origin, gold.destination, gold.depart_s, change_s=CHANGE_S)
    return times and Best(depart_s=times[0], arrive_s=times[1])
