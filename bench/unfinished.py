"""Runs that ended before their answers were read: what they had flushed is kept and can be made into samples (edge)."""

from datetime import datetime
from itertools import count
from pathlib import Path

from pydantic import ValidationError

from bench.errors import BenchError
from bench.frozen import Frozen
from bench.load.launch import SPOOL
from bench.load.spool import read_spool
from bench.results.samples import Keep, SpoolFile, write_samples
from bench.results.summary import ClientHealth, RunInfo, State, ToolInfo
from bench.system.watch import SAMPLES as SAMPLED
from bench.system.watch import recover_watch
from bench.workload import Workload
from stack.runtime.files import write_atomic
from stack.runtime.progress import Step

MANIFEST = ".run.json"
UNKNOWN = ClientHealth(cpu_s=0.0, cpu_share=0.0, loop_lag_ms_mean=None, loop_lag_ms_p99=None, start_s=0.0, peak_rss_mb=0.0)


class Manifest(Frozen):
    """What is known of a run before it begins; lies beside its spools until they are read."""

    workload: Workload
    seed: int
    url: str
    tool: ToolInfo
    started_at: datetime
    cache_reset: str = ""
    shared_share: float = 0.0


def begin(out: Path, manifest: Manifest) -> Path | None:
    """Leave the manifest in the run's folder. What an earlier run left unread is moved to a folder of its own, which is returned."""
    kept = None
    if (out / MANIFEST).exists():
        kept = next(place for number in count(1) if not (place := out / f"unfinished-{number}").exists())
        kept.mkdir()
        for path in [*out.glob(f"{SPOOL}.*"), *out.glob(SAMPLED), out / MANIFEST]:
            path.rename(kept / path.name)
    write_atomic(out / MANIFEST, manifest.model_dump_json())
    return kept


def end(out: Path) -> None:
    """The spools have been read: remove them and the manifest."""
    for path in [*out.glob(f"{SPOOL}.*"), *out.glob(".worker.*.log"), out / MANIFEST]:
        path.unlink(missing_ok=True)


def recover(out: Path, step: Step) -> RunInfo:
    """Make samples of what a run in `out` had flushed; the spools go when that is done. BenchError where there is nothing to recover."""
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
    state: State = "interrupted"
    run = RunInfo(
        **manifest.model_dump(exclude={"workload", "tool"}),
        workload=manifest.workload,
        tool=manifest.tool,
        started_ns=started_ns,
        state=state,
        reason="the load generator died; recovered from what it had flushed",
        client=UNKNOWN,
    )
    write_samples(out, spools, run, step, Keep())
    recover_watch(out, started_ns)
    end(out)
    return run
