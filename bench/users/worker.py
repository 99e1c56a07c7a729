"""The worker's side inside Locust: users that go through their journeys, and what was measured on its way to the master (edge).

Runs in Locust's worker processes only, after gevent has patched the standard library. Of a request only numbers, names and the class of
a failure leave the worker: neither prompts nor answers, and never the key.
"""

import contextlib
import itertools
import os
import resource
import time
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

import gevent
from gevent.event import AsyncResult
from gevent.pool import Group
from locust import User, argument_parser, task
from locust.exception import StopUser
from locust.runners import WorkerRunner
from locust.stats import RequestStats

from bench.load.endpoint import Endpoint, read_api_key
from bench.load.exchange import Outcome
from bench.results.decode import OK, Answer, decode
from bench.users.client import Connection, Reply
from bench.users.job import CLAIM, FINISH, FINISHED, REPORT, WORKER_VARIABLE, Job, this_machine
from bench.users.lag import LagMonitor
from bench.users.plan import Turn, journey_turns, request_body
from bench.users.scenario import UserClass

REPORT_EVERY_S = 0.5
"""What was measured since the last report is lost with a worker that dies."""

FAILURE_PAUSE_S = 1.0
"""A user whose request failed gives the conversation up and waits so long before the next: without it, a server that refuses is hammered."""

CLAIM_TIMEOUT_S = 30.0
PARTS = ("TTFT", "TPOT")


class Failed(Exception):  # noqa: N818  # shown by its text alone
    """The class of a failed request, as Locust's page groups them."""


class Desk:
    """Everything the users of one worker share."""

    def __init__(self, runner: WorkerRunner, job: Job, events: Any) -> None:
        self.job = job
        self.endpoint = Endpoint.parse(job.url, api_key=read_api_key(job.api_key_file), ca_file=job.ca_file)
        self.worker = os.environ.get(WORKER_VARIABLE) or runner.client_id
        self.draining = False
        self.exchanges = Group()
        self.events = events
        self._runner = runner
        self._machine = this_machine().model_dump()
        self._rows: list[dict[str, Any]] = []
        self._claims: dict[int, AsyncResult[dict[str, Any]]] = {}
        self._tokens = itertools.count()
        self._lag = LagMonitor()
        self._cpu_s = self._since_ns = 0.0
        self._over = False
        runner.register_message(CLAIM, self._claimed)
        runner.register_message(FINISH, self._finish, concurrent=True)
        events.test_start.add_listener(self._test_starts)
        events.test_stop.add_listener(lambda **_: self.report())
        gevent.spawn(self._report_for_ever)

    def claim(self, class_name: str) -> dict[str, Any]:
        """Ask the master which user of its class this one is: the same numbers are given out whatever the number of workers."""
        token = next(self._tokens)
        self._claims[token] = AsyncResult()
        self._runner.send_message(CLAIM, {"token": token, "class": class_name, "scenario": self.job.digest, "worker": self.worker})
        try:
            return dict(self._claims[token].get(timeout=CLAIM_TIMEOUT_S))
        finally:
            del self._claims[token]

    def _claimed(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        waiting = self._claims.get(msg.data["token"])
        if waiting is not None:  # else the user was stopped while it asked
            waiting.set(msg.data)

    def keep(self, row: dict[str, Any]) -> None:
        self._rows.append(row)

    def report(self) -> None:
        """Send what there is to the master; nothing once it was told that no more comes, since what Locust does then is no part of the run."""
        if self._over:
            return
        rows, self._rows = self._rows, []
        self._runner.send_message(
            REPORT,
            {
                "worker": self.worker,
                "machine": self._machine,
                "rows": rows,
                "lags_ns": self._lag.take(),
                "cpu_s": time.process_time() - self._cpu_s,
                "wall_s": (monotonic_ns() - self._since_ns) / 1e9,
                "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            },
        )

    def _test_starts(self, **_: Any) -> None:
        self.draining = self._over = False
        self._cpu_s, self._since_ns = time.process_time(), monotonic_ns()
        self._lag.take()

    def _report_for_ever(self) -> None:
        while True:
            gevent.sleep(REPORT_EVERY_S)
            if self._runner.user_count or self._rows:
                self.report()

    def _finish(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        """Users who think begin nothing more; answers on their way are waited for, or given up."""
        self.draining = True
        if msg.data["cancel"]:
            self.exchanges.kill()
            self._runner.stop()
        else:
            self.exchanges.join()
        self.report()
        self._over = True
        self._runner.send_message(FINISHED, {"worker": self.worker})


class JourneyUser(User):  # type: ignore[misc]  # Locust is not there where the core is type-checked
    """One user of a class of the scenario."""

    abstract = True
    desk: Desk
    user_class: UserClass

    def on_start(self) -> None:
        self._self = self.desk.claim(self.user_class.name)
        self._connection = Connection(self.desk.endpoint, timeout_s=self.desk.job.scenario.timeout_s)

    @task  # type: ignore[untyped-decorator]
    def journeys(self) -> None:
        for journey in itertools.count():
            self._journey(journey)

    def _journey(self, journey: int) -> None:
        desk, me = self.desk, self._self
        turns = journey_turns(desk.job.scenario, self.user_class, seed=me["seed"], user=me["number"], journey=journey)
        said: list[tuple[str, str]] = []
        for place, turn in enumerate(turns):
            if desk.draining:
                raise StopUser
            said.append(("user", turn.text))
            # A greenlet of its own: a user who is told to leave does not break off the answer that it waits for.
            answer: Answer = desk.exchanges.spawn(self._ask, turn, tuple(said), journey, place, monotonic_ns()).get()
            if desk.draining:
                raise StopUser
            if answer.status != OK:
                gevent.sleep(FAILURE_PAUSE_S)
                return
            said.append(("assistant", answer.text or ""))
            gevent.sleep(turn.think_s)

    def _ask(self, turn: Turn, said: tuple[tuple[str, str], ...], journey: int, place: int, intended_ns: int) -> Answer:
        """One request, measured, kept and told to Locust."""
        me, scenario, reply = self._self, self.desk.job.scenario, Reply()
        request_id = f"{me['run']}-{me['test']}-{self.user_class.name}-{me['number']}-{journey}-{place}"
        payload = self.desk.endpoint.request(request_body(scenario, said, max_tokens=turn.max_tokens), request_id=request_id)
        with contextlib.suppress(gevent.GreenletExit):  # the reply then says that it was cancelled
            self._connection.ask(payload, reply)
        answer = decode(reply, keep_text=True)
        who = {"request_id": request_id, "class": self.user_class.name, "user": me["number"], "journey": journey, "turn": place, "step": turn.step}
        self.desk.keep({"test": me["test"], **who, "intended_ns": intended_ns, **measured(reply, answer)})
        self._tell(f"{self.user_class.name}/{turn.step}", reply, answer)
        return answer

    def _tell(self, name: str, reply: Reply, answer: Answer) -> None:
        """Locust's events in milliseconds: E2E for the request itself, TTFT and TPOT for its parts (docs/metrics.md)."""

        def fire(kind: str, value_ms: float, exception: Exception | None = None) -> None:
            length = sum(len(data) for _, data in reply.reads)
            self.environment.events.request.fire(request_type=kind, name=name, response_time=value_ms, response_length=length, exception=exception, context={})

        if reply.outcome is Outcome.CANCELLED:
            return
        sent_ns = reply.sent_ns or reply.closed_ns
        if answer.status != OK:
            fire("E2E", (reply.closed_ns - sent_ns) / 1e6, Failed(answer.status))
            return
        if not answer.deltas:
            fire("E2E", (reply.closed_ns - sent_ns) / 1e6)
            return
        first, last = answer.deltas[0], answer.deltas[-1]
        fire("E2E", (last.t_ns - sent_ns) / 1e6)
        fire("TTFT", (first.t_ns - sent_ns) / 1e6)
        after_first = (answer.completion_tokens or 0) - (first.tokens or 1)
        if after_first > 0:
            fire("TPOT", (last.t_ns - first.t_ns) / after_first / 1e6)


def measured(reply: Reply, answer: Answer) -> dict[str, Any]:
    """The columns of a row that come from the wire; stamps on this worker's clock."""
    deltas = answer.deltas
    visible = next((delta for delta in deltas if delta.kind != "reasoning"), None)
    return {
        "status": answer.status,
        "http_status": answer.http_status,
        "detail": answer.detail,
        "resent": reply.resent,
        "sent_ns": reply.sent_ns,
        "first_content_ns": deltas[0].t_ns if deltas else None,
        "first_visible_ns": visible.t_ns if visible else None,
        "last_content_ns": deltas[-1].t_ns if deltas else None,
        "closed_ns": reply.closed_ns,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens if answer.status == OK else None,
        "n_first": (deltas[0].tokens or 1) if deltas else None,
        "chunks": len(deltas),
        "finish_reason": answer.finish_reason,
    }


def make_spawning_quick() -> None:
    """Locust builds its whole command line anew, a hundred times, for each order to spawn users: 80 ms in which no answer is read."""
    defaults = argument_parser.default_args_dict()
    argument_parser.default_args_dict = lambda: defaults


def count_parts_apart(stats: RequestStats) -> None:
    """Leave TTFT and TPOT out of Locust's totals: its page would otherwise count each request three times."""
    log_all: Callable[..., None] = stats.log_request

    def log_request(method: str, name: str, response_time: float, content_length: int) -> None:
        if method in PARTS:
            stats.get(name, method).log(response_time, content_length)
        else:
            log_all(method, name, response_time, content_length)

    stats.log_request = log_request
