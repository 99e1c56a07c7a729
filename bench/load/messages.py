"""What the leader of a run and its workers say to each other, as JSON (models)."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from bench.frozen import Frozen
from bench.results.summary import ClientHealth, State
from bench.workload import Workload


class Order(Frozen):
    """What a worker is to do. The API key is not in it: it follows in a message of its own."""

    kind: Literal["order"] = "order"
    workload: Workload
    url: str
    ca_file: str | None
    seed: int
    run_id: str
    tell_latencies: bool
    worker: int
    workers: int
    spool: str


class Ready(Frozen):
    """Connected and waiting for `Go`."""

    kind: Literal["ready"] = "ready"
    host: str
    boot_id: str


class Go(Frozen):
    """Begin at this moment of the worker's monotonic clock."""

    kind: Literal["go"] = "go"
    begin_ns: int


class Stop(Frozen):
    """Send nothing more, cancel what is in flight (wait for it when the state is `complete`), and report."""

    kind: Literal["stop"] = "stop"
    state: State
    reason: str


class Tick(Frozen):
    """How it goes: the fields of `Progress`."""

    kind: Literal["tick"] = "tick"
    elapsed_s: float
    sent: int
    over: int
    failed: int
    in_flight: int
    bytes_read: int
    first_byte_ms: tuple[float, ...]
    latencies: tuple[tuple[float, float | None, float], ...] = ()


class Done(Frozen):
    """Everything is over and in the spool."""

    kind: Literal["done"] = "done"
    started_ns: int
    state: State
    reason: str
    health: ClientHealth


class Failed(Frozen):
    """It could not begin; the message is for the user."""

    kind: Literal["failed"] = "failed"
    message: str


Message = Annotated[Order | Ready | Go | Stop | Tick | Done | Failed, Field(discriminator="kind")]
_reader: TypeAdapter[Order | Ready | Go | Stop | Tick | Done | Failed] = TypeAdapter(Message)


def read(data: bytes) -> Order | Ready | Go | Stop | Tick | Done | Failed:
    """The message in a packet."""
    return _reader.validate_json(data)


def write(message: Frozen) -> bytes:
    """A packet for `read`."""
    return message.model_dump_json().encode()
