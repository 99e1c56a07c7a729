"""Runs that ended before their answers were read: what they had flushed is kept and can be made into samples (edge)."""

from datetime import datetime
from itertools import count
from pathlib import Path

from pydantic import Field

from bench.frozen import Frozen
from bench.load.spool import SPOOL
from bench.results.summary import ToolInfo
from bench.system.watch import SAMPLES as SAMPLED
from bench.workload import Workload
from stack.runtime.files import write_atomic

MANIFEST = ".run.json"


class Manifest(Frozen):
    """What is known of a run before it begins; lies beside its spools until they are read."""

    workload: Workload
    seed: int
    url: str
    tool: ToolInfo
    started_at: datetime
    inputs: dict[str, str] = Field(default_factory=dict)
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
