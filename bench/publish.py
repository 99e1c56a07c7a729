"""From what a run left to what people read: samples, summary, page (edge).

Apart from the run itself, so that a load generator starts without the libraries that only reading takes.
"""

from pathlib import Path

import yaml
from pydantic import ValidationError

from bench import unfinished
from bench.errors import BenchError
from bench.load.drive import LoadReport
from bench.load.spool import SPOOL, SpoolFile, read_spool
from bench.results.files import REQUESTS, SUMMARY, TOKENS, WORKLOAD
from bench.results.keep import Keep
from bench.results.memory import give_back_what_is_freed
from bench.results.metrics import summarize
from bench.results.reconcile import reconcile, with_findings
from bench.results.samples import Samples, read_samples, write_samples
from bench.results.summary import ClientHealth, RunInfo, Summary
from bench.system.watch import recover_watch
from bench.unfinished import MANIFEST, Manifest
from stack.runtime.files import write_atomic
from stack.runtime.progress import Reporter

UNKNOWN = ClientHealth(cpu_s=0.0, cpu_share=0.0, loop_lag_ms_mean=None, loop_lag_ms_p99=None, start_s=0.0, peak_rss_mb=0.0)


def publish(out: Path, run: RunInfo, report: LoadReport, *, keep: Keep, page: bool, reporter: Reporter) -> Summary:
    """Read the spools of `report` and write everything else. BenchError when they cannot be read: they stay for `recover_run`."""
    give_back_what_is_freed()
    try:
        with reporter.step("Reading the answers") as step:
            write_samples(out, report.spools, run, step, keep)
    except OSError as error:
        raise BenchError(f"{out}: {error.strerror}: the answers are kept as they came: make room, then stackproof bench recover {out}") from None
    unfinished.end(out)
    return _summarize(out, page=page)


def recover_run(out: Path, *, reporter: Reporter) -> Summary:
    """Make a marked, invalid result of what a run that died had flushed into `out`. BenchError where there is nothing to recover."""
    try:
        manifest = Manifest.model_validate_json((out / MANIFEST).read_text())
    except FileNotFoundError:
        raise BenchError(f"{out}: no unfinished run in this folder") from None
    except (OSError, ValueError, ValidationError) as error:
        raise BenchError(f"{out / MANIFEST}: cannot be read: {error}") from None
    spools = [SpoolFile(path, worker=int(path.suffix[1:])) for path in sorted(out.glob(f"{SPOOL}.*"))]
    started_ns = min((raw.intended_ns for spool in spools for raw in read_spool(spool.path)), default=None)
    if started_ns is None:
        raise BenchError(f"{out}: the unfinished run had no request over yet: nothing to recover; delete {out / MANIFEST}")
    run = RunInfo(
        **{name: getattr(manifest, name) for name in Manifest.model_fields},
        started_ns=started_ns,
        state="interrupted",
        reason="the load generator died; recovered from what it had flushed",
        client=UNKNOWN,
    )
    with reporter.step("Reading the answers") as step:
        write_samples(out, spools, run, step, Keep())
    recover_watch(out, started_ns)
    unfinished.end(out)
    return _summarize(out, page=True)


def _summarize(out: Path, *, page: bool) -> Summary:
    """From samples on disk to what people read; the files are held against one another first."""
    give_back_what_is_freed()
    samples = read_samples(out / REQUESTS, out / TOKENS)
    refuse_rejected(samples)
    summary = summarize(samples)
    workload = samples.run.workload
    write_atomic(out / WORKLOAD, yaml.safe_dump(workload.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True))
    write_atomic(out / SUMMARY, summary.model_dump_json(indent=2) + "\n")
    del samples  # `reconcile` reads them anew, and may need the room
    give_back_what_is_freed()
    if findings := reconcile(out):
        summary = with_findings(summary, findings)
        write_atomic(out / SUMMARY, summary.model_dump_json(indent=2) + "\n")
    if page:
        from bench.report.write import write_report

        write_report(out)
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
