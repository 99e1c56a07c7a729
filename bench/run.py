"""One measured run, from a workload to files on disk (edge)."""

import contextlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench import unfinished
from bench.calibration.lookup import note_for
from bench.calibration.models import Calibration
from bench.errors import BenchError
from bench.load.crew import Crew, Target
from bench.load.progress import Progress
from bench.load.requests import Job
from bench.prompts.bodies import request_bodies
from bench.prompts.sessions import session_bodies
from bench.results.files import QUALITY, SUMMARY, SYSTEM
from bench.results.keep import Keep
from bench.results.summary import RunInfo, Summary, ToolInfo
from bench.system.cache_guard import reset_prefix_cache
from bench.system.watch import SystemWatch
from bench.unfinished import Manifest
from bench.workload import Workload
from bench.workload.files import input_digests
from bench.workload.prompts import Sessions
from stack.evidence.provenance import host, tool
from stack.evidence.record import now
from stack.runtime.progress import Reporter, Step

if TYPE_CHECKING:
    from bench.load.drive import StopWhen, Watcher


@dataclass(frozen=True)
class Watching:
    """What is looked at of the system under test while the load lasts."""

    on: bool = True
    metrics_url: str | None = None
    metrics_key_file: Path | None = None
    every_s: float = 1.0
    prometheus_port: int | None = None


@dataclass(frozen=True)
class RunOptions:
    """How a run is made; what it is to do stands in the workload. `stop_when` is asked 4 times a second: a reason it gives ends the run."""

    crew: Crew = field(default_factory=Crew)
    watching: Watching = field(default_factory=Watching)
    keep: Keep = field(default_factory=Keep)
    calibration: Calibration | None = None
    report: bool = True
    stop_when: "StopWhen | None" = None


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
    """Drive `url` with `workload` and write samples, summary.json, workload.yaml and report.html into `out`.

    Ctrl-C or SIGTERM ends the load, keeps what was measured and marks it interrupted. BenchError when the endpoint cannot be
    reached or takes none of the requests. A client that could not keep up gives a summary that is not `valid`. When the answers
    cannot be read, for want of disk or of life, they stay in `out` for `recover_run`.
    """
    called_ns = time.monotonic_ns()
    options = options or RunOptions()
    if workload.model is None:
        raise BenchError("field `model`: missing in the workload: give the model's name there or with --model")
    target = Target(url, api_key, ca_file)
    target.endpoint()
    if workload.quality is not None:
        from bench.quality.ask import ask_quality, check_quality
        from bench.quality.store import write_quality

        check_quality(workload, url=url, api_key=api_key, ca_file=ca_file)
    manifest = _prepare(workload, target, out, new_seed() if seed is None else seed, options.watching, reporter)
    job = Job(
        workload=workload,
        seed=manifest.seed,
        run_id=f"bench-{secrets.token_hex(4)}",
        tell_latencies=options.stop_when is not None or workload.stop.precision is not None,
    )
    with _watch(target, out, options.watching) as system:
        from bench.load.launch import launch  # loads while the sampling process does

        if system is not None:
            system.wait_first_sample()
        with reporter.step(f"Measuring {workload.name or 'workload'}", total=_total(workload)) as step:
            try:
                report = launch(job, target, options.crew, folder=out, watch=_show(step, system), stop_when=options.stop_when, called_ns=called_ns)
            except BaseException:
                unfinished.end(out)  # nothing was sent, or a bug: there is nothing to recover
                raise
        if system is not None:
            system.finish(report.started_ns)
    if workload.quality is not None and report.state == "complete":
        with reporter.step("Asking the accuracy task") as step:
            answers = ask_quality(workload, url=url, api_key=api_key, ca_file=ca_file, run_started_ns=report.started_ns, step=step)
        if answers is not None:
            write_quality(out / QUALITY, answers)
    run = RunInfo(
        **{name: getattr(manifest, name) for name in Manifest.model_fields},
        started_ns=report.started_ns,
        state=report.state,
        reason=report.reason,
        client=report.health,
        workers=report.workers,
        calibration=None if options.calibration is None else note_for(options.calibration, workload, host=host()),
    )
    from bench.publish import publish

    return publish(out, run, report, keep=options.keep, page=options.report, reporter=reporter)


def _prepare(workload: Workload, target: Target, out: Path, seed: int, watching: Watching, reporter: Reporter) -> Manifest:
    prompts = workload.prompts
    bodies = session_bodies(workload, seed=seed) if isinstance(prompts, Sessions) else request_bodies(workload, seed=seed)
    cache_reset = reset_prefix_cache(
        workload.cache, url=target.url, metrics_url=watching.metrics_url, metrics_key_file=watching.metrics_key_file, ca_file=target.ca_file
    )
    out.mkdir(parents=True, exist_ok=True)
    for stale in (SUMMARY, QUALITY, SYSTEM):  # a folder never shows the summary of one run beside the samples of another
        (out / stale).unlink(missing_ok=True)
    manifest = Manifest(
        workload=workload,
        seed=seed,
        url=target.url,
        tool=ToolInfo(**tool().model_dump()),
        started_at=now(),
        inputs=input_digests(workload),
        cache_reset=cache_reset,
        shared_share=bodies.shared_share,
    )
    if kept := unfinished.begin(out, manifest):
        reporter.say(f"{out} held a run that was never read: it is kept in {kept} (stackproof bench recover)")
    return manifest


@contextlib.contextmanager
def _watch(target: Target, out: Path, watching: Watching) -> Iterator[SystemWatch | None]:
    if not watching.on:
        yield None
        return
    with SystemWatch.start(
        url=target.url,
        out=out,
        metrics_url=watching.metrics_url,
        metrics_key_file=watching.metrics_key_file,
        ca_file=target.ca_file,
        every_s=watching.every_s,
        prometheus_port=watching.prometheus_port,
    ) as system:
        yield system


def _total(workload: Workload) -> int | None:
    stop = workload.stop
    return None if stop.requests is None or stop.duration_s is not None else workload.warmup.requests + stop.requests


def _show(step: Step, system: SystemWatch | None) -> "Watcher":
    def show(progress: Progress) -> None:
        step.done = progress.over
        step.note(f"{progress.in_flight} in flight" + (f", {progress.failed} failed" if progress.failed else ""))
        if system is not None:
            system.progress(progress)

    return show
