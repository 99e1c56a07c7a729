"""Requests in the order in which they go out: alone, or turn by turn (edge: it only builds bytes, but keeps state).

Job and share decide the number of a request, and with the seed what it says.
"""

from collections import deque
from dataclasses import dataclass, field
from itertools import count

from bench.load.endpoint import Endpoint
from bench.load.exchange import Arrival, Exchange
from bench.load.share import Share
from bench.prompts.bodies import Bodies
from bench.prompts.sessions import SessionBodies
from bench.results.decode import decode
from bench.workload import Workload
from bench.workload.prompts import Sessions

LOOK_AHEAD = 256


@dataclass(frozen=True)
class Job:
    """What a worker is to do; the run's identity makes request ids that no other run uses."""

    workload: Workload
    seed: int
    run_id: str
    tell_latencies: bool = False
    """Work out each answer's latencies as it ends, for rules that end the run by them."""
    share: Share = field(default_factory=Share)


class SingleRequests:
    """Requests that stand alone, built ahead of their time."""

    def __init__(self, bodies: Bodies, endpoint: Endpoint, job: Job) -> None:
        self._bodies = bodies
        self._endpoint = endpoint
        self._job = job
        self._places = count()
        self._ahead = deque(self._next() for _ in range(LOOK_AHEAD))

    def first(self, arrival: Arrival) -> Exchange:
        index, payload = self._ahead.popleft()
        self._ahead.append(self._next())
        return Exchange(index, payload, arrival)

    def following(self, exchange: Exchange) -> tuple[Exchange, int] | None:  # noqa: ARG002
        return None

    def _next(self) -> tuple[int, bytes]:
        index = self._job.share.unit(next(self._places))
        return index, self._endpoint.request(self._bodies(index), request_id=f"{self._job.run_id}-{index}")


class Conversations:
    """Requests of sessions: each turn after the first is built when the one before it is over."""

    def __init__(self, prompts: Sessions, bodies: SessionBodies, endpoint: Endpoint, run_id: str) -> None:
        self._keep_replies = prompts.history == "reply"
        self._bodies = bodies
        self._endpoint = endpoint
        self._run_id = run_id
        self._replies: dict[int, list[str]] = {}

    def first(self, arrival: Arrival) -> Exchange:
        self._replies[arrival.unit] = []
        return self._turn(arrival, 0)

    def following(self, exchange: Exchange) -> tuple[Exchange, int] | None:
        session, turn = exchange.unit, exchange.turn + 1
        if turn >= self._bodies.turns(session):
            self._replies.pop(session, None)
            return None
        if self._keep_replies:
            self._replies[session].append(decode(Received(exchange), keep_text=True).text or "")
        arrival = Arrival(unit=session, intended_ns=0, due_ns=0, warmup=exchange.warmup)
        return self._turn(arrival, turn), self._bodies.think_ns(session, turn)

    def _turn(self, arrival: Arrival, turn: int) -> Exchange:
        session = arrival.unit
        index = session * self._bodies.max_turns + turn
        body = self._bodies.body(session, turn, self._replies[session])
        return Exchange(index, self._endpoint.request(body, request_id=f"{self._run_id}-{index}"), arrival, turn=turn)


class Received:
    """An exchange that is over, as `decode` wants it."""

    def __init__(self, exchange: Exchange) -> None:
        self.outcome, self.detail = exchange.outcome, exchange.detail
        self.reads = tuple(zip(exchange.stamps, exchange.reads, strict=True))
