"""Asks the task's questions of the server that was measured (edge).

Right after the measured phase, so that nothing of it falls into the figures, and over the same URL; at temperature 0, with the
workload's `extra_body`, a few questions at a time.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.quality.models import Answered, Item, QualityAnswers, TaskInfo
from bench.quality.scoring import continuation_logprob, is_right, likeliest
from bench.quality.server import Server
from bench.quality.task import read_task
from bench.workload.models import Workload
from stack.runtime.progress import Step
from stack.serving.chat import ChatClient, ChatFailedError

CONCURRENCY = 8


def check_quality(workload: Workload, *, url: str, api_key: str | None = None, ca_file: Path | None = None) -> None:
    """Before the load: the task can be read, and the server can score choices if it is to. BenchError in one line where not."""
    if workload.quality is None:
        return
    _, items = read_task(workload.quality)
    if workload.quality.score != "choice_logprob":
        return

    async def one() -> None:
        async with Server(url, workload.model or "", api_key, ca_file).client(concurrency=CONCURRENCY) as client:
            await _scores(client, items[0])

    try:
        asyncio.run(one())
    except ChatFailedError as error:
        raise BenchError(f"field `quality.score`: choice_logprob: {_mend(error)}") from None


def ask_quality(
    workload: Workload, *, url: str, api_key: str | None = None, ca_file: Path | None = None, run_started_ns: int = 0, step: Step | None = None
) -> QualityAnswers | None:
    """Every question of the workload's task; one that fails is recorded as failed. Ctrl-C keeps the answers there are.

    None for a workload without a task. `run_started_ns` ties the answers to the samples of that run.
    """
    if workload.quality is None:
        return None
    info, items = read_task(workload.quality)
    info = info.model_copy(update={"run_started_ns": run_started_ns})
    answers: list[Answered] = []
    if step is not None:
        step.total = len(items)
    client = Server(url, workload.model or "", api_key, ca_file).client(concurrency=CONCURRENCY)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_ask_all(client, info, items, extra=workload.extra_body, answers=answers, step=step))
    place = {item.id: number for number, item in enumerate(items)}
    return QualityAnswers(task=info, answers=tuple(sorted(answers, key=lambda answer: place[answer.id])))


async def _ask_all(client: ChatClient, info: TaskInfo, items: Sequence[Item], *, extra: Mapping[str, Any], answers: list[Answered], step: Step | None) -> None:
    async def one(item: Item) -> None:
        answers.append(await _answer(client, info, item, extra))
        if step is not None:
            step.advance()

    async with client:
        await asyncio.gather(*map(one, items))


async def _answer(client: ChatClient, info: TaskInfo, item: Item, extra: Mapping[str, Any]) -> Answered:
    """One question; never raises on what the server does."""
    expected = item.expected
    try:
        if info.score == "choice_logprob":
            scores, prompt_tokens = await _scores(client, item)
            chosen = expected.choices[likeliest(scores)]
            return Answered(
                id=item.id,
                expected=expected,
                answer=chosen,
                logprobs=scores,
                right=is_right(info.score, expected, chosen),
                prompt_tokens=prompt_tokens,
            )
        messages = [{"role": "system", "content": item.system}] if item.system is not None else []
        messages.append({"role": "user", "content": item.prompt})
        reply = await client.ask({**extra, "model": client.model, "messages": messages, "max_tokens": info.max_tokens, "temperature": 0.0, "seed": 0})
    except ChatFailedError as error:
        return Answered(id=item.id, expected=expected, right=False, error=str(error)[:200])
    return Answered(
        id=item.id,
        expected=expected,
        answer=reply.text,
        right=is_right(info.score, expected, reply.text),
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        finish_reason=reply.finish_reason,
    )


async def _scores(client: ChatClient, item: Item) -> tuple[tuple[float, ...], int]:
    """Log-probability of each choice after the prompt, and the prompt tokens of all that together."""
    echoes = await asyncio.gather(*(client.echo(item.prompt + choice) for choice in item.expected.choices))
    try:
        scores = tuple(continuation_logprob(echo.tokens, echo.logprobs, choice) for echo, choice in zip(echoes, item.expected.choices, strict=True))
    except ValueError as error:
        raise ChatFailedError("malformed", str(error)) from None
    return scores, sum(echo.prompt_tokens for echo in echoes)


def _mend(error: ChatFailedError) -> str:
    if error.reason in ("http_400", "http_403", "http_404", "http_405", "http_422", "malformed"):
        return (
            f"the endpoint does not tell the log-probabilities of a prompt (POST /v1/completions with echo and logprobs): give the engine's own URL, "
            f"or a task for exact_match or regex [{error}]"
        )
    return str(error)
