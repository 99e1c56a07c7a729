"""The Locust processes of a run: how each is started (edge)."""

import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError
from bench.users.job import JOB_VARIABLE, WORKER_VARIABLE, Job
from stack.runtime.files import write_atomic
from stack.runtime.net import LOOPBACK
from stack.runtime.process import Child

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
DEFAULT_PORT = 5557
"""Locust's own, for masters and workers on different machines."""

MASTER_GRACE_S = 20.0
WORKER_GRACE_S = 10.0
LOGS = "logs"


@dataclass(frozen=True)
class Address:
    """Where a master listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, given: str, *, option: str) -> "Address":
        """From HOST or HOST:PORT; an IPv6 host stands in brackets."""
        host, colon, port = given.rpartition(":")
        if not colon or given.endswith("]"):
            host, port = given, str(DEFAULT_PORT)
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise BenchError(f"{option} {given}: give HOST or HOST:PORT")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def require_locust() -> None:
    """BenchError where Locust is not installed; it is found without being imported."""
    if importlib.util.find_spec("locust") is None:
        raise BenchError("Locust is not installed: pip install 'stackproof[users]'")


def start_master(job: Job, at: Address, *, out: Path, workers: int, web_port: int | None) -> Child:
    """Without a web port it begins when `workers` have connected, and ends with the scenario; with one it waits for a person."""
    shown = ["--headless"] if web_port is None else ["--web-host", LOOPBACK, "--web-port", str(web_port)]
    arguments = ["--master", "--master-bind-host", at.host, "--master-bind-port", str(at.port), "--expect-workers", str(workers), *shown]
    return _start("locust-master", job, arguments, out=out, grace_s=MASTER_GRACE_S, worker="")


def start_worker(job: Job, master: Address, *, out: Path, name: str) -> Child:
    """It keeps asking for the master for five minutes."""
    arguments = ["--worker", "--master-host", master.host, "--master-port", str(master.port)]
    return _start(name, job, arguments, out=out, grace_s=WORKER_GRACE_S, worker=name)


def _start(name: str, job: Job, arguments: Sequence[str], *, out: Path, grace_s: float, worker: str) -> Child:
    logs = (out / LOGS).resolve()  # where the process runs, too
    log, orders = logs / f"{name}.log", logs / f"{name}.json"
    log.unlink(missing_ok=True)
    write_atomic(orders, job.model_dump_json(indent=2))
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", job.url, "--only-summary", "--exit-code-on-error", "0", *arguments]
    # Locust's own settings, from variables and from files in the home and the working folder, would change the run unseen.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("LOCUST_")}
    env = {**inherited, "HOME": str(logs), JOB_VARIABLE: str(orders), WORKER_VARIABLE: worker}
    return Child.start(name, command, log=log, env=env, cwd=logs, grace_s=grace_s)
