"""One measured run, from a workload to files on disk (edge)."""

import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from bench.errors import BenchError
from bench.load.drive import StopWhen, Watcher, drive
from bench.load.endpoint import Endpoint
from bench.load.generator import Job
from bench.load.progress import Progress
from bench.results.metrics import summarize
from bench.results.samples import REQUESTS, TOKENS, Keep, Samples, read_samples, write_samples
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


@dataclass(frozen=True)
class RunOptions:
    """How a run is made; what it is to do stands in the workload. `stop_when` is asked 4 times a second: a reason it gives ends the run."""

    keep: Keep = field(default_factory=Keep)
    stop_when: StopWhen | None = None


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
    options: RunOptions | None = None,
) -> Summary:
    """Drive `url` with `workload` and write requests.parquet, tokens.parquet, summary.json and workload.yaml into `out`.

    Ctrl-C or SIGTERM ends the load, keeps what was measured and marks it interrupted. BenchError when the endpoint cannot be
    reached or takes none of the requests. A client that could not keep up gives a summary that is not `valid`.
    """
    called_ns = time.monotonic_ns()
    options = options or RunOptions()
    if workload.model is None:
        raise BenchError("field `model`: missing in the workload: give the model's name there or with --model")
    endpoint = Endpoint.parse(url, api_key=api_key, ca_file=ca_file)
    chosen_seed = new_seed() if seed is None else seed
    out.mkdir(parents=True, exist_ok=True)
    (out / SUMMARY).unlink(missing_ok=True)  # a folder never shows the summary of one run beside the samples of another
    job = Job(workload=workload, seed=chosen_seed, run_id=f"bench-{secrets.token_hex(4)}")
    spool = out / ".spool.0"
    started_at = now()
    try:
        with reporter.step(f"Measuring {workload.name or 'workload'}", total=_total(workload)) as step:
            report = drive(job, endpoint, spool=spool, watch=_show(step), stop_when=options.stop_when, called_ns=called_ns)
        run = RunInfo(
            workload=workload,
            seed=chosen_seed,
            url=url,
            tool=ToolInfo(**tool().model_dump()),
            started_at=started_at,
            started_ns=report.started_ns,
            state=report.state,
            reason=report.reason,
            client=report.health,
            workers=report.workers,
        )
        with reporter.step("Reading the answers") as step:
            write_samples(out, report.spools, run, step, options.keep)
    finally:
        spool.unlink(missing_ok=True)
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


def _total(workload: Workload) -> int | None:
    stop = workload.stop
    return None if stop.requests is None or stop.duration_s is not None else workload.warmup.requests + stop.requests


def _show(step: Step) -> Watcher:
    def show(progress: Progress) -> None:
        step.done = progress.over
        step.note(f"{progress.in_flight} in flight" + (f", {progress.failed} failed" if progress.failed else ""))

    return show
