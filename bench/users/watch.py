"""A run as it goes on: what the master's spool says so far, and which local workers have gone (edge)."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.results.decode import OK
from stack.runtime.process import Child, ChildError
from stack.runtime.progress import Reporter, Step

POLL_S = 0.1


@dataclass
class Watch:
    """Call `until_over`; `dead` then names the local workers that went before the end."""

    spool: Path
    master: Child
    workers: Sequence[Child]
    expects_more: bool
    """Whether workers come from elsewhere: then the run may go on without the local ones."""

    dead: list[str] = field(default_factory=list)
    started: bool = False
    _running: bool = False
    _read: int = 0
    _ok: int = 0
    _failed: int = 0
    _rest: bytes = b""

    def until_over(self, reporter: Reporter, step: Step) -> None:
        """Return when the master has ended, or every worker is gone; ChildError when that was before the start."""
        while self.master.exit_status is None and (self.expects_more or len(self.dead) < len(self.workers)):
            self._look(reporter)
            step.note(f"{self._ok} ok, {self._failed} failed" if self.started else "not started yet")
            time.sleep(POLL_S)
        self._look(reporter)
        if not self.started:
            gone = next((worker for worker in self.workers if worker.name in self.dead), self.master)
            raise ChildError(f"{gone.name} ended before the start: {gone.last_words()} (log: {gone.log})")

    def _look(self, reporter: Reporter) -> None:
        # Who has gone is asked first: the end of the run, if that is why, then stands in the spool by now.
        gone = [worker for worker in self.workers if worker.exit_status is not None and worker.name not in self.dead]
        self._read_on()
        if self._running or not self.started:
            for worker in gone:
                self.dead.append(worker.name)
                reporter.say(f"{worker.name} is lost: {worker.last_words()} (log: {worker.log})")

    def _read_on(self) -> None:
        if not self.spool.exists():
            return
        with self.spool.open("rb") as source:
            source.seek(self._read)
            news = source.read()
        self._read += len(news)
        *lines, self._rest = (self._rest + news).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, message: dict[str, Any]) -> None:
        match message["kind"]:
            case "start":
                self.started = self._running = True
            case "end":
                self._running = False
            case "report":
                statuses = [row["status"] for row in message["rows"]]
                self._ok += statuses.count(OK)
                self._failed += len(statuses) - statuses.count(OK) - statuses.count("cancelled")
