"""Asks a chat model about many texts: paced, budgeted, cached, one vote per text (edge)."""

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache

from stack.pipelines.base import Work
from stack.pipelines.errors import PipelineError
from stack.pipelines.labeling.answers import Answers
from stack.pipelines.labeling.budget import Budget, BudgetSpentError
from stack.pipelines.labeling.connection import HttpAnswer, HttpTransport, Transport, TransportError
from stack.pipelines.labeling.pace import Window, backoff_s, retry_after_s
from stack.pipelines.labeling.replies import Reply, UnreadableError, read_reply, reader
from stack.pipelines.labeling.requests import Question, encoded, question
from stack.pipelines.labeling.spec import Llm
from stack.pipelines.labeling.votes import MAX_VALUE, Vote
from stack.serving.chat import read_key
from stack.serving.trust import trusting

OK = 200
WORTH_TRYING_AGAIN = frozenset({"http_408", "http_425", "http_429", "http_500", "http_502", "http_503", "http_504"}) | {
    *("timeout", "refused", "closed", "not_http", "not_json", "malformed")
}
NOT_NOW = frozenset({"http_429", "http_503"})
OVERLOAD = NOT_NOW | {"timeout", "refused"}
SHUT = frozenset({"refused", "http_401", "http_404"})
UNAVAILABLE = SHUT | {"http_403"}
"""Failures that say nothing of a record: nobody listens, or nobody lets us in. But a gateway may answer 403 to what one record says."""
GONE_IN_A_ROW = 16
"""So many records given up in a row because the endpoint is shut, and it is taken for gone."""


def ask(labeler: Llm, texts: Sequence[str], labels: tuple[str, ...], work: Work) -> list[Vote]:
    """One vote per text, in order; equal texts are asked once. `work.share` tasks divide the labeler's concurrency.

    PipelineError when the endpoint is gone, BudgetSpentError when `work.budget` is spent; answers until then are in `work.answers`.
    """
    endpoint = work.endpoint
    if endpoint is None:
        raise PipelineError(f"labeler {labeler.name} asks a model: give the address of a chat endpoint with --url")
    window = _window(endpoint.url, labeler.name, max(1, labeler.concurrency // work.share))

    async def run(answers: Answers | None) -> list[Vote]:
        async with HttpTransport(endpoint.url, api_key=read_key(endpoint.api_key_file), tls=trusting(endpoint.ca_file)) as transport:
            return await ask_model(labeler, texts, labels, transport, model=endpoint.model, window=window, budget=work.budget, answers=answers)

    try:
        with nullcontext() if work.answers is None else Answers(work.answers) as answers:
            return asyncio.run(run(answers))
    except GoneError as gone:
        raise PipelineError(f"endpoint {endpoint.url} stopped answering ({gone}): start it and run the same command again to go on") from None


@lru_cache(maxsize=64)
def _window(url: str, name: str, ceiling: int) -> Window:  # noqa: ARG001  # each labeler and server has its own
    """Kept from shard to shard: a worker need not learn anew how much the server takes."""
    return Window(ceiling)


async def ask_model(
    labeler: Llm,
    texts: Sequence[str],
    labels: tuple[str, ...],
    transport: Transport,
    *,
    model: str,
    window: Window,
    budget: Budget | None = None,
    answers: Answers | None = None,
) -> list[Vote]:
    """As `ask`, over any transport; GoneError when the endpoint is."""
    read = reader(labeler, labels)
    asked = [question(labeler, text, labels, model=model) for text in texts]

    async def post(text: str) -> HttpAnswer:
        return await transport.post(encoded(labeler, text, labels, model=model))

    outcomes = await _Round(labeler, post, window, budget or Budget(), answers).outcomes(asked)
    votes = []
    for text, each in zip(texts, asked, strict=True):
        outcome = outcomes[each.key]
        votes.append(read(text, outcome) if isinstance(outcome, Reply) else Vote(None, outcome.reason, value=outcome.detail or None))
    return votes


class GoneError(Exception):
    """Nobody answers any more; the message is the class of the last failure."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that got no answer: the class, the beginning of what the server said, and how long it wants to be left alone."""

    reason: str
    detail: str = ""
    wait_s: float | None = None


Post = Callable[[str], Awaitable[HttpAnswer]]
"""Asks about a text."""


@dataclass(frozen=True, slots=True)
class _Try:
    """A question, and how often it has failed and been put off so far."""

    question: Question
    failed: int = 0
    put_off: int = 0


class _Round:
    """One call's requests: ready, waiting for another try, or in flight. A request that waits holds no place in the window."""

    def __init__(self, labeler: Llm, post: Post, window: Window, budget: Budget, answers: Answers | None) -> None:
        self._labeler = labeler
        self._post = post
        self._window = window
        self._budget = budget
        self._answers = answers
        self._loop = asyncio.get_running_loop()
        self._ready: deque[_Try] = deque()
        self._later: list[tuple[float, int, _Try]] = []
        self._order = 0
        self._open_at = 0.0
        self._running: set[asyncio.Task[None]] = set()
        self._sync: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._outcomes: dict[str, Reply | Failure] = {}
        self._shut_in_a_row = 0
        self._fault: BaseException | None = None

    async def outcomes(self, questions: Sequence[Question]) -> Mapping[str, Reply | Failure]:
        """By key: a reply, or the last failure of a request that was given up."""
        for each in {each.key: each for each in questions}.values():
            kept = self._answers.get(each.key) if self._answers else None
            if kept is None:
                self._ready.append(_Try(each))
            else:
                self._outcomes[each.key] = kept
        try:
            await self._work()
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
            if self._sync is not None:
                await self._sync
        self._raise_if_gone()
        return self._outcomes

    async def _work(self) -> None:
        while self._ready or self._later or self._running:
            now = self._loop.time()
            while self._later and self._later[0][0] <= now:
                self._ready.appendleft(heapq.heappop(self._later)[2])
            spent = self._budget.spent
            if not spent:
                self._send(now)
            elif not self._running:
                remaining = len(self._ready) + len(self._later)
                raise BudgetSpentError(self._budget.in_words(remaining=remaining), remaining=remaining)
            await self._wait(now, spent=spent)
            if self._fault is not None:
                raise self._fault
            if self._shut_in_a_row >= GONE_IN_A_ROW:
                self._raise_if_gone()
            self._sync_if_due()

    def _raise_if_gone(self) -> None:
        """When nobody was listening at the last, too many in a row found it shut, or no record got in at all."""
        last = next(reversed(self._outcomes.values()), None)
        if not isinstance(last, Failure):
            return
        none_got_in = all(isinstance(each, Failure) and each.reason in UNAVAILABLE for each in self._outcomes.values())
        if last.reason == "refused" or self._shut_in_a_row >= GONE_IN_A_ROW or none_got_in:
            raise GoneError(last.reason)

    def _send(self, now: float) -> None:
        """As many as the window lets; none while the server wants to be left alone."""
        if now < self._open_at:
            return
        while self._ready and len(self._running) < self._window.size:
            task = self._loop.create_task(self._try(self._ready.popleft()))
            self._running.add(task)
            task.add_done_callback(self._ended)

    async def _wait(self, now: float, *, spent: bool) -> None:
        """Until something ends, or it is time for another try."""
        until = []
        if not spent:
            until += [self._later[0][0]] if self._later else []
            until += [self._open_at] if self._ready and now < self._open_at else []
            until += [now + left] if (left := self._budget.seconds_left) is not None else []
        self._wake.clear()
        timer = self._loop.call_at(min(until), self._wake.set) if until else None
        await self._wake.wait()
        if timer is not None:
            timer.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._wake.set()
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._fault = fault

    async def _try(self, each: _Try) -> None:
        ticket = self._window.ticket()
        outcome = await self._ask(each.question)
        if isinstance(outcome, Reply):
            self._window.answered()
            self._shut_in_a_row = 0
            self._budget.spend(outcome.prompt_tokens + outcome.completion_tokens)
            self._outcomes[each.question.key] = outcome
            if self._answers is not None:
                self._answers.put(each.question.key, outcome)
            return
        if outcome.reason in OVERLOAD:
            self._window.overloaded(ticket)
        self._again_or_give_up(each, outcome)

    async def _ask(self, each: Question) -> Reply | Failure:
        try:
            async with asyncio.timeout(self._labeler.timeout_s):
                answer = await self._post(each.text)
        except TimeoutError:
            return Failure("timeout", f"no answer in {self._labeler.timeout_s:g} s")
        except TransportError as fault:
            return Failure(fault.reason, str(fault)[:MAX_VALUE])
        if answer.status != OK:
            return Failure(f"http_{answer.status}", _beginning(answer), retry_after_s(answer.retry_after))
        try:
            return read_reply(answer.body)
        except UnreadableError as fault:
            return Failure(str(fault), _beginning(answer))

    def _again_or_give_up(self, each: _Try, failure: Failure) -> None:
        """`not now` is the server's state, not the record's fault: it may come log2(ceiling) more times, as often as the window can halve."""
        not_now = failure.reason in NOT_NOW
        tried = replace(each, put_off=each.put_off + 1) if not_now else replace(each, failed=each.failed + 1)
        now = self._loop.time()
        wait_s = backoff_s(tried.failed + tried.put_off)
        if failure.wait_s is not None:
            wait_s += failure.wait_s
            self._open_at = max(self._open_at, now + failure.wait_s)
        patience = self._labeler.attempts + self._window.ceiling.bit_length() - 1
        if failure.reason in WORTH_TRYING_AGAIN and tried.failed < self._labeler.attempts and tried.failed + tried.put_off < patience:
            self._order += 1
            heapq.heappush(self._later, (now + wait_s, self._order, tried))
            return
        self._shut_in_a_row = self._shut_in_a_row + 1 if failure.reason in SHUT else 0
        self._outcomes[each.question.key] = failure

    def _sync_if_due(self) -> None:
        """In a thread: a disk may take longer to sync than the model to answer."""
        if self._answers is not None and self._answers.due and (self._sync is None or self._sync.done()):
            if self._sync is not None:
                self._sync.result()
            self._sync = self._loop.create_task(asyncio.to_thread(self._answers.sync))


def _beginning(answer: HttpAnswer) -> str:
    return answer.body[: 4 * MAX_VALUE].decode("utf-8", "replace")[:MAX_VALUE]
