"""Runs one probe, or finds it finished in its folder (edge)."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import Field, ValidationError

from bench.capacity.curve import curve_point
from bench.capacity.level import CLIENT_BOUND, ServiceLevel, judge
from bench.capacity.models import Kind, ProbeResult
from bench.capacity.plan import ProbeSpec
from bench.capacity.saturation import course, saturated
from bench.capacity.watch import Watch
from bench.errors import BenchError
from bench.frozen import Frozen
from bench.load.crew import Crew
from bench.results.files import REQUESTS, TOKENS
from bench.results.metrics import summarize
from bench.results.samples import Samples, read_samples
from bench.run import RunOptions, new_seed, run_workload
from bench.seeds import derive
from bench.workload import Workload
from stack.evidence import canonical_json
from stack.runtime.files import sha256_file, write_atomic
from stack.runtime.progress import Reporter

STAMP = "probe.json"
SWEEP = "sweep.json"


@dataclass(frozen=True)
class SweepTarget:
    """Where the probes of a sweep go, and who drives them; with `seed` None they take the one the sweep was begun with, or a new one."""

    url: str
    api_key: str | None = None
    ca_file: Path | None = None
    seed: int | None = None
    crew: Crew = field(default_factory=Crew)


class Stamp(Frozen):
    """What a folder holds: the workload's digest, how often it was begun, and the hashes of the samples once it is finished."""

    workload: str
    attempt: int = Field(ge=1)
    requests: str = ""
    tokens: str = ""


class Sweep(Frozen):
    """What the probes of a folder have in common."""

    workload: str
    url: str
    level: str
    mode: str
    seed: int


def open_sweep(out: Path, workload: Workload, target: SweepTarget, *, level: ServiceLevel | None, mode: str) -> SweepTarget:
    """The target with the seed of the sweep in `out`. BenchError when the folder holds another sweep."""
    path = out / SWEEP
    seed = new_seed() if target.seed is None else target.seed
    wanted = Sweep(workload=digest(workload), url=target.url, level=str(level), mode=mode, seed=seed)
    try:
        found = Sweep.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        write_atomic(path, wanted.model_dump_json(indent=2) + "\n")
        return replace(target, seed=wanted.seed)
    except (OSError, ValidationError):
        raise BenchError(f"{path}: not the description of a sweep: choose another --out") from None
    for name, words in (("workload", "another workload"), ("url", "another URL"), ("level", "another --slo"), ("mode", "another kind of sweep")):
        if getattr(found, name) != getattr(wanted, name):
            raise BenchError(f"--out {out}: holds the probes of {words}: choose another folder")
    if target.seed not in (None, found.seed):
        raise BenchError(f"--out {out}: holds the probes of --seed {found.seed}: choose another folder, or leave --seed out to go on with it")
    return replace(target, seed=found.seed)


def digest(workload: Workload) -> str:
    """SHA-256 of the whole workload."""
    return hashlib.sha256(canonical_json(workload.model_dump(mode="json"))).hexdigest()


def probe(
    spec: ProbeSpec, out: Path, target: SweepTarget, *, level: ServiceLevel | None, devices: int, deadline_s: float | None, reporter: Reporter
) -> ProbeResult:
    """Run a probe in its folder below `out` and say what it found; one that is finished there is read again instead."""
    folder = out / spec.name
    stamp = read_stamp(folder)
    if stamp is not None and is_finished(stamp, folder, spec):
        return evaluate(read(folder), spec, level=level, devices=devices, attempt=stamp.attempt, reused=True)
    attempt = 1 if stamp is None else stamp.attempt + 1
    begun = Stamp(workload=digest(spec.workload), attempt=attempt)
    write_atomic(folder / STAMP, begun.model_dump_json() + "\n")
    measure(spec, folder, target, attempt=attempt, watch=Watch(spec, level, deadline_s=deadline_s), reporter=reporter)
    result = evaluate(read(folder), spec, level=level, devices=devices, attempt=attempt, reused=False)
    if result.valid and not result.unfinished:
        hashes = {"requests": sha256_file(folder / REQUESTS), "tokens": sha256_file(folder / TOKENS)}
        write_atomic(folder / STAMP, begun.model_copy(update=hashes).model_dump_json() + "\n")
    return result


def measure(spec: ProbeSpec, folder: Path, target: SweepTarget, *, attempt: int, watch: Watch, reporter: Reporter) -> None:
    """The run itself. Each probe and each attempt has a seed of its own: a server that remembers a prompt would answer it too fast."""
    seed = derive(target.seed or 0, f"capacity {spec.name}", attempt) & 0xFFFFFFFF
    options = RunOptions(crew=target.crew, report=False, stop_when=watch)
    run_workload(spec.workload, url=target.url, api_key=target.api_key, ca_file=target.ca_file, out=folder, seed=seed, reporter=reporter, options=options)


def read(folder: Path) -> Samples:
    return read_samples(folder / REQUESTS, folder / TOKENS)


def read_stamp(folder: Path) -> Stamp | None:
    """None where no probe was begun, or where its stamp cannot be read: it is run again."""
    try:
        return Stamp.model_validate(json.loads((folder / STAMP).read_bytes()))
    except (OSError, ValueError):
        return None


def finished(spec: ProbeSpec, out: Path) -> bool:
    """Whether the probe need not be run."""
    stamp = read_stamp(out / spec.name)
    return stamp is not None and is_finished(stamp, out / spec.name, spec)


def is_finished(stamp: Stamp, folder: Path, spec: ProbeSpec) -> bool:
    """Whether the folder holds this very run, whole and unchanged."""
    if not stamp.requests or stamp.workload != digest(spec.workload):
        return False
    try:
        return (sha256_file(folder / REQUESTS), sha256_file(folder / TOKENS)) == (stamp.requests, stamp.tokens)
    except OSError:
        return False


def evaluate(samples: Samples, spec: ProbeSpec, *, level: ServiceLevel | None, devices: int, attempt: int, reused: bool) -> ProbeResult:
    """What a probe says, from its samples alone."""
    summary = summarize(samples)
    growing = saturated(course(samples))
    judged = spec.kind != "estimate" and level is not None
    reason, confirms = samples.run.reason, spec.kind == "confirm"
    judgement = judge(summary, level, certify=spec.kind != "search", reason=reason, growing=growing and confirms) if judged and level else None
    client_bound = any(reason.startswith(CLIENT_BOUND) for reason in summary.invalid_reasons)
    says_something = summary.valid or summary.state != "complete" or not summary.requests.ok
    valid = judgement.outcome != "invalid" if judgement else says_something and not client_bound
    rate = spec.load if spec.open_loop else None
    streams = None if spec.open_loop else int(spec.load)
    kind: Kind = spec.kind
    return ProbeResult(
        name=spec.name,
        kind=kind,
        rate=rate,
        streams=streams,
        attempt=attempt,
        reused=reused,
        state=summary.state,
        reason=reason,
        valid=valid,
        invalid_reasons=() if valid else summary.invalid_reasons,
        judgement=judgement,
        point=curve_point(spec.name, summary, devices=devices, steady=not growing and summary.state == "complete", valid=valid, rate=rate, streams=streams),
    )
