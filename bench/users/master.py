"""The master's side inside Locust: the shape of the run, who each user is, and what the workers report, on its way to disk (edge).

Runs in Locust's master process only. Every message becomes a line of the spool, flushed at once: what is written there survives however
the run ends.
"""

import json
import logging
import signal
from collections import Counter
from datetime import UTC, datetime
from time import monotonic_ns
from typing import Any, BinaryIO

import gevent
from locust import LoadTestShape
from locust.runners import STATE_MISSING, MasterRunner

from bench.users.job import CLAIM, FINISH, FINISHED, REPORT, Job, MasterJob, this_machine
from bench.users.plan import tick_at
from bench.users.verdict import GIVE_UP_AFTER, is_rejection

WATCH_EVERY_S = 0.25
CANCEL_WITHIN_S = 5.0
LOCUST_ASKS_EVERY_S = 1.0

log = logging.getLogger("stackproof")


class Desk:
    """What the master knows of the run."""

    def __init__(self, runner: MasterRunner, job: Job, orders: MasterJob, events: Any, *, headless: bool) -> None:
        self.job = job
        self._orders = orders
        self._runner = runner
        self._spool: BinaryIO = orders.spool.open("ab")
        self._test = 0
        self._running = False
        self._numbers: Counter[str] = Counter()
        self._names: dict[str, str] = {}
        self._working: set[str] = set()
        self._unfinished: set[str] = set()
        self._first: list[dict[str, Any]] = []
        runner.register_message(CLAIM, self._claim)
        runner.register_message(REPORT, self._report)
        runner.register_message(FINISHED, self._finished)
        events.test_start.add_listener(self._test_starts)
        events.test_stopping.add_listener(lambda **_: self._end("interrupted"))
        events.quitting.add_listener(self._quits)
        # Without a page, Locust minds SIGTERM only once the scenario is over.
        if headless:
            gevent.signal_handler(signal.SIGTERM, self._interrupted)
        gevent.spawn(self._watch)

    def finish(self, state: str) -> None:
        """End the test: let the answers on their way come in, or cancel them where it is cut short."""
        if not self._running:
            return
        self._end(state)
        cancel = state != "complete"
        self._unfinished = self._alive()
        self._runner.send_message(FINISH, {"cancel": cancel})
        limit_s = CANCEL_WITHIN_S if cancel else self.job.scenario.timeout_s + CANCEL_WITHIN_S
        with gevent.Timeout(limit_s, False):
            while self._unfinished & self._alive():
                gevent.sleep(0.02)

    def _claim(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        client, asked = msg.node_id, msg.data
        self._names[client] = asked["worker"]
        if asked["scenario"] != self.job.digest:
            self._write({"kind": "refused", "test": self._test, "worker": asked["worker"]})
            log.error("worker %s runs another scenario: it is sent away", asked["worker"])
            self._runner.send_message("quit", client_id=client)
            return
        self._working.add(client)
        number = self._numbers[asked["class"]]
        self._numbers[asked["class"]] += 1
        answer = {"token": asked["token"], "number": number, "seed": self._orders.seed, "test": self._test, "run": self._orders.run}
        self._runner.send_message(CLAIM, answer, client_id=client)

    def _report(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        self._write({"kind": "report", "test": self._test, **msg.data})
        if len(self._first) < GIVE_UP_AFTER:
            self._first += msg.data["rows"]
            enough = min(GIVE_UP_AFTER, self.job.scenario.shape[0].users)
            if self._running and len(self._first) >= enough and all(is_rejection(row["status"], row["detail"]) for row in self._first):
                gevent.spawn(self._give_up)

    def _give_up(self) -> None:
        log.error("given up: the endpoint took none of the first %d requests", len(self._first))
        self.finish("given_up")
        self._runner.stop()

    def _finished(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        self._unfinished.discard(msg.node_id)

    def _test_starts(self, environment: Any, **_: Any) -> None:
        # Whatever a person wrote on the page: the users go where the command said.
        for shown in (environment, *self._runner.user_classes):
            shown.host = self.job.url
        self._test += 1
        self._running = True
        self._numbers.clear()
        self._working.clear()
        self._first.clear()
        machine = this_machine().model_dump()
        self._write({"kind": "start", "test": self._test, "started_ns": monotonic_ns(), "started_at": datetime.now(UTC).isoformat(), "machine": machine})

    def _end(self, state: str) -> None:
        """The moment after which no user begins a request; the first word on it counts."""
        if self._running:
            self._running = False
            self._write({"kind": "end", "test": self._test, "state": state, "ended_ns": monotonic_ns()})

    def _quits(self, **_: Any) -> None:
        self.finish("interrupted")

    def _interrupted(self) -> None:
        self.finish("interrupted")
        self._runner.quit()

    def _watch(self) -> None:
        """Note each worker that goes while the test runs: one that says so, and one that is silent for three seconds."""
        while True:
            gevent.sleep(WATCH_EVERY_S)
            if self._running:
                for client in self._working - self._alive():
                    self._working.discard(client)
                    log.error("worker %s is lost", self._names[client])
                    self._write({"kind": "lost", "test": self._test, "worker": self._names[client]})

    def _alive(self) -> set[str]:
        return {client for client, node in self._runner.clients.items() if node.state != STATE_MISSING}

    def _write(self, message: dict[str, Any]) -> None:
        self._spool.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        self._spool.flush()


class Shape(LoadTestShape):  # type: ignore[misc]  # Locust is not there where the core is type-checked
    """The stages of the scenario; Locust asks every second, and is held so that a change comes when it is due."""

    abstract = True  # the locustfile makes the one that Locust finds
    job: Job
    desk: Desk | None = None

    def tick(self) -> tuple[int, float] | None:
        now = tick_at(self.job.scenario, self.get_run_time())
        # The first call comes at the very start: nobody is there yet, and nothing may hold it.
        if now is not None and now.left_s < LOCUST_ASKS_EVERY_S and self.get_current_user_count():
            gevent.sleep(now.left_s)
            now = tick_at(self.job.scenario, self.get_run_time())
        if now is not None:
            return now.users, now.spawn_rate
        if self.desk is not None:
            self.desk.finish("complete")
        return None
