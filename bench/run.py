"""One measured run, from a workload to files on disk (edge)."""

import asyncio
import contextlib
import gc
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvloop
import yaml

from bench.errors import BenchError
from bench.load.endpoint import Endpoint
from bench.load.generator import LoadReport, LoadRun
from bench.load.spool import Spool
from bench.results.metrics import summarize
from bench.results.samples import REQUESTS, TOKENS, Samples, read_samples, write_samples
from bench.results.summary import RunInfo, Summary, ToolInfo
from bench.workload import Workload
from stack.evidence.provenance import tool
from stack.evidence.record import now
from stack.runtime.files import write_atomic
from stack.runtime.progress import Reporter, Step

SUMMARY = "summary.json"
WORKLOAD = "workload.yaml"
SWITCH_INTERVAL_S = 0.0005
"""How long another thread (the progress bar) may keep the interpreter from the event loop; Python's default is 5 ms."""


def new_seed() -> int:
    """A seed nobody used before, so that a repeated run is not answered from a prefix cache."""
    return secrets.randbits(32)


def run_workload(
    workload: Workload,
    *,
    url: str,
    api_key: str | None = None,
    out: Path,
    seed: int | None = None,
    ca_file: Path | None = None,
    reporter: Reporter,
) -> Summary:
    """Drive `url` with `workload` and write requests.parquet, tokens.parquet, summary.json and workload.yaml into `out`.

    Ctrl-C or SIGTERM ends the load, keeps what was measured and marks it interrupted. BenchError when the endpoint cannot be
    reached or takes none of the requests. A client that could not keep up gives a summary that is not `valid`.
    """
    called_ns = time.monotonic_ns()
    if workload.model is None:
        raise BenchError("field `model`: missing in the workload: give the model's name there or with --model")
    endpoint = Endpoint.parse(url, api_key=api_key, ca_file=ca_file)
    chosen_seed = new_seed() if seed is None else seed
    out.mkdir(parents=True, exist_ok=True)
    (out / SUMMARY).unlink(missing_ok=True)  # a folder never shows the summary of one run beside the samples of another
    spool_path = out / f".spool.{os.getpid()}"
    started_at = now()
    try:
        report = _load(workload, endpoint, seed=chosen_seed, spool_path=spool_path, reporter=reporter, called_ns=called_ns)
        run = RunInfo(
            workload=workload,
            seed=chosen_seed,
            url=url,
            tool=ToolInfo(**tool().model_dump()),
            started_at=started_at,
            started_ns=report.started_ns,
            state=report.state,
            client=report.health,
        )
        with reporter.step("Reading the answers") as step:
            write_samples(out, spool_path, run, step)
    finally:
        spool_path.unlink(missing_ok=True)
    samples = read_samples(out / REQUESTS, out / TOKENS)
    refuse_rejected(samples)
    summary = summarize(samples)
    write_atomic(out / WORKLOAD, yaml.safe_dump(workload.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True))
    write_atomic(out / SUMMARY, summary.model_dump_json(indent=2) + "\n")
    return summary


def refuse_rejected(samples: Samples) -> None:
    """BenchError when the endpoint took not one request and the user can mend that: a key, a name, a path, a server that does not stream."""
    statuses = samples.requests["status"].to_pylist()
    failed = [place for place, status in enumerate(statuses) if status != "cancelled"]
    if {"ok", "truncated"} & set(statuses) or not failed:
        return
    status, detail = statuses[failed[0]], " ".join(samples.requests["detail"][failed[0]].as_py().split())
    mend = {
        "http_401": "pass the gateway's key with --api-key-file",
        "http_403": "the key of --api-key-file may not do this",
        "http_404": f"check --url and that the server has the model {samples.run.workload.model!r} (--model)",
        "refused": "check that the server runs and --url",
    }.get(status)
    if mend is not None:
        raise BenchError(f"{samples.run.url}: all requests failed ({status}): {mend}" + (f" [{detail}]" if detail else ""))
    if status.startswith("http_4") or (status == "malformed" and "does not stream" in detail):
        raise BenchError(f"{samples.run.url}: all requests failed ({status}): {detail}")


def _load(workload: Workload, endpoint: Endpoint, *, seed: int, spool_path: Path, reporter: Reporter, called_ns: int) -> LoadReport:
    stop = workload.stop
    total = None if stop.requests is None or stop.duration_s is not None else workload.warmup.requests + stop.requests
    spool = Spool(spool_path)
    try:
        title = f"Measuring {workload.name or 'workload'}"
        with reporter.step(title, total=total) as step, _undisturbed(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
            return loop.run(_load_async(workload, endpoint, seed=seed, spool=spool, step=step, called_ns=called_ns))
    finally:
        spool.close()


async def _load_async(workload: Workload, endpoint: Endpoint, *, seed: int, spool: Spool, step: Step, called_ns: int) -> LoadReport:
    load = LoadRun(workload, endpoint, seed=seed, run_id=f"bench-{secrets.token_hex(4)}", keep=spool.append)
    with _signals_call(lambda: load.stop("interrupted")):
        return await load.run(step, called_ns=called_ns)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """No garbage collection and short thread switches while times are taken; nothing that the run makes is cyclic and lasting."""
    was_enabled, interval_s = gc.isenabled(), sys.getswitchinterval()
    gc.collect()
    gc.disable()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(interval_s)
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def _signals_call(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM call `stop` in the running loop; the handlers before are put back. Nothing outside the main thread."""
    loop = asyncio.get_running_loop()
    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            loop.add_signal_handler(number, stop)
            before[number] = handler
    except (ValueError, RuntimeError):  # not the main thread
        pass
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
