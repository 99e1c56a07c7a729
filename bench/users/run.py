"""One run of users, from a scenario to files on disk (edge)."""

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.errors import BenchError
from bench.load.endpoint import Endpoint, read_api_key
from bench.results.summary import ToolInfo
from bench.users.job import Job, MasterJob
from bench.users.metrics import summarize
from bench.users.nodes import Address, require_locust, start_master, start_worker
from bench.users.rows import USERS, Told, gather, read_rows, write_rows
from bench.users.scenario import Scenario
from bench.users.summary import UsersRun, UsersSummary
from bench.users.verdict import rejection
from bench.users.watch import POLL_S, Watch
from stack.evidence.provenance import tool
from stack.runtime.files import write_atomic
from stack.runtime.net import LOOPBACK, free_port, require_free
from stack.runtime.process import Child
from stack.runtime.progress import Reporter

SUMMARY = "summary.json"
SCENARIO = "scenario.yaml"
CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Target:
    """The endpoint, and the files that hold its key and the certificates to trust."""

    url: str
    api_key_file: Path | None = None
    ca_file: Path | None = None


@dataclass(frozen=True)
class Nodes:
    """Which Locust processes take part: one master here, `workers` here, `expect_workers` started elsewhere with `--worker`."""

    workers: int = 1
    expect_workers: int = 0
    master_bind: Address | None = None
    """None: a free port on loopback."""

    web_port: int | None = None
    """None: headless."""


def run_users(scenario: Scenario, target: Target, *, out: Path, seed: int | None = None, nodes: Nodes | None = None, reporter: Reporter) -> UsersSummary:
    """Let the scenario's users loose on the endpoint and write users.parquet, summary.json and scenario.yaml into `out`.

    Ctrl-C or SIGTERM ends the run, keeps what was measured and marks it interrupted; on Locust's page it is how a run ends. BenchError
    when the endpoint cannot be reached or takes none of the requests, KeyboardInterrupt when no test was started.
    """
    nodes = nodes or Nodes()
    _check(scenario, target, nodes)
    at = nodes.master_bind or Address(LOOPBACK, free_port())
    chosen = next(each for each in (seed, scenario.seed, secrets.randbits(32)) if each is not None)
    out.mkdir(parents=True, exist_ok=True)
    (out / SUMMARY).unlink(missing_ok=True)  # a folder never shows the summary of one run beside the rows of another
    spool = (out / f".spool.{os.getpid()}").resolve()
    spool.touch()
    orders = MasterJob(seed=chosen, run=f"users-{secrets.token_hex(4)}", spool=spool)
    try:
        dead = _drive(_job(scenario, target, orders), nodes, at, out=out, reporter=reporter)
        told = gather(spool)
        if told is None:
            raise KeyboardInterrupt
        run = UsersRun(
            scenario=scenario,
            seed=chosen,
            run=orders.run,
            url=target.url,
            tool=ToolInfo(**tool().model_dump()),
            started_at=told.started_at,
            started_ns=told.started_ns,
            ended_ns=told.ended_ns - told.started_ns,
            state=told.state,
            workers=told.health,
            lost=_lost(told, dead),
            tests=told.tests,
        )
        with reporter.step("Reading the answers"):
            write_rows(out / USERS, spool, run, told)
    finally:
        spool.unlink(missing_ok=True)
    rows = read_rows(out / USERS)
    if fault := rejection(rows.table["status"].to_pylist(), rows.table["detail"].to_pylist()):
        raise BenchError(f"{target.url}: {fault}")
    summary = summarize(rows)
    write_atomic(out / SCENARIO, yaml.safe_dump(scenario.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True))
    write_atomic(out / SUMMARY, summary.model_dump_json(indent=2) + "\n")
    return summary


def run_workers(scenario: Scenario, target: Target, *, master: Address, workers: int, out: Path, reporter: Reporter) -> None:
    """Work for a master elsewhere until it ends the run; what is measured goes to it."""
    _check(scenario, target, Nodes(workers=workers))
    here = f"{socket.gethostname()}-{os.getpid()}"
    with ExitStack() as stack, reporter.step(f"Working for {master}"):
        children = [start_worker(_job(scenario, target, None), master, out=out, name=f"{here}-{place}") for place in range(workers)]
        for child in children:
            stack.callback(child.stop)
        while any(child.exit_status is None for child in children):
            time.sleep(POLL_S)


def _job(scenario: Scenario, target: Target, orders: MasterJob | None) -> Job:
    files = (None if path is None else path.resolve() for path in (target.api_key_file, target.ca_file))
    return Job(scenario=scenario, url=target.url, api_key_file=next(files), ca_file=next(files), master=orders)


def _check(scenario: Scenario, target: Target, nodes: Nodes) -> None:
    """Everything that a user can get wrong, before any process starts."""
    require_locust()
    if scenario.model is None:
        raise BenchError("field `model`: missing in the scenario: give the model's name there or with --model")
    if nodes.workers + nodes.expect_workers < 1:
        raise BenchError("--workers 0: nobody would be there to work: give --expect-workers too")
    endpoint = Endpoint.parse(target.url, api_key=read_api_key(target.api_key_file), ca_file=target.ca_file)
    if nodes.master_bind is not None:
        require_free(nodes.master_bind.host, nodes.master_bind.port, option="--master-bind")
    if nodes.web_port is not None:
        require_free(LOOPBACK, nodes.web_port, option="--web-port")
    if nodes.workers:
        try:
            socket.create_connection((endpoint.host, endpoint.port), timeout=CONNECT_TIMEOUT_S).close()
        except OSError as error:
            raise BenchError(f"{target.url}: cannot connect: {error.strerror or error}: check that the server runs and --url") from None


def _drive(job: Job, nodes: Nodes, at: Address, *, out: Path, reporter: Reporter) -> list[str]:
    """Run Locust until the scenario, a person or a fault ends it; the local workers that were lost on the way."""
    if job.master is None:
        raise ValueError("a run has a master")
    scenario = job.scenario
    title = f"Up to {scenario.most_users} users for {scenario.length_s:g} s"
    with ExitStack() as stack, reporter.step(title) as step:
        children: list[Child] = []
        # The last one in is the first one out: the master collects what the workers have before they are stopped.
        for place in range(nodes.workers):
            children.append(start_worker(job.model_copy(update={"master": None}), at, out=out, name=f"worker-{place}"))
            stack.callback(children[-1].stop)
        master = start_master(job, at, out=out, workers=nodes.workers + nodes.expect_workers, web_port=nodes.web_port)
        stack.callback(master.stop)
        if nodes.web_port is not None:
            reporter.say(f"Locust's page: http://{LOOPBACK}:{nodes.web_port} (start the test there; Ctrl-C ends)")
        if nodes.expect_workers:
            reporter.say(f"Waiting for {nodes.expect_workers} more: stackproof bench users SCENARIO --url URL --worker --master-host {at}")
        watch = Watch(job.master.spool, master, children, expects_more=nodes.expect_workers > 0)
        with contextlib.suppress(KeyboardInterrupt):
            watch.until_over(reporter, step)
        return watch.dead


def _lost(told: Told, dead: Sequence[str]) -> tuple[str, ...]:
    """Told by the master or seen here, once each."""
    return tuple(dict.fromkeys([*told.lost, *dead]))
