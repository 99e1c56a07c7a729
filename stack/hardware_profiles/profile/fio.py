"""Storage by fio (edge): its JSON output, version 3, turned into results."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from stack.hardware_profiles.profile.direct_io import random_task, read_task, write_task
from stack.hardware_profiles.profile.models import Result, Status
from stack.hardware_profiles.profile.session import Session, Task

SPARE_S = 60.0
COMMON = ("--output-format=json", "--direct=1", "--ioengine=psync", "--numjobs=1", "--allow_file_create=1", "--refill_buffers")


def installed() -> bool:
    return shutil.which("fio") is not None


def measure(session: Session, path: Path, size: int, budget_s: float) -> Iterator[Result]:
    """Four passes of write and of read, the first to warm up; random reads for a third of the time. A run that fio refuses is not supported, with its words."""
    seconds = max(1, int(budget_s / 3))
    for task, passes, options in (
        (write_task(size), 4, ("--rw=write", "--bs=1M", "--end_fsync=1")),
        (read_task(size), 4, ("--rw=read", "--bs=1M")),
        (random_task(size), 1, ("--rw=randread", "--bs=4k", "--time_based", f"--runtime={seconds}")),
    ):
        try:
            runs = [_run(task, path, size, options, timeout_s=SPARE_S + budget_s) for _ in range(passes)]
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            yield task.without(Status.NOT_SUPPORTED, f"fio: {_words(error)}")
            continue
        yield _result(session, task, runs)


def _run(task: Task, path: Path, size: int, options: tuple[str, ...], *, timeout_s: float) -> dict[str, Any]:
    command = ["fio", f"--name={task.name}", f"--filename={path}", f"--size={size}", *COMMON, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=True)
    return parse(done.stdout)


def parse(text: str) -> dict[str, Any]:
    """The first job of fio's JSON; ValueError when there is none. fio may print warnings before it."""
    document = json.loads(text[max(0, text.find("{")) :])
    jobs = document.get("jobs") if isinstance(document, dict) else None
    if not isinstance(jobs, list) or not jobs or not isinstance(jobs[0], dict):
        raise ValueError("its output names no job")
    return jobs[0]


def seconds_of(job: dict[str, Any], direction: str) -> float:
    """How long a pass took, the final sync included; ValueError when it is not a positive time."""
    for found in (job.get("job_runtime"), _inside(job, direction).get("runtime")):
        if isinstance(found, int | float) and found > 0:
            return found / 1e3  # milliseconds
    raise ValueError("its output has no running time")


def latencies_us(job: dict[str, Any]) -> dict[str, float]:
    """Median, p10, p90, p99 and the least completion latency of the reads; ValueError without percentiles."""
    found = _inside(_inside(job, "read"), "clat_ns")
    shares = _inside(found, "percentile")
    named = {"p10": "10.000000", "median": "50.000000", "p90": "90.000000", "p99": "99.000000"}
    try:
        return {"best": found["min"] / 1e3, **{name: shares[key] / 1e3 for name, key in named.items()}}
    except (KeyError, TypeError):
        raise ValueError("its output has no latency percentiles") from None


def _inside(document: dict[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _words(error: Exception) -> str:
    text = (getattr(error, "stderr", None) or str(error)).strip()
    return text.splitlines()[-1][:200] if text else type(error).__name__


def _result(session: Session, task: Task, jobs: list[dict[str, Any]]) -> Result:
    noted = f"{task.note}; by fio"
    try:
        if task.work is not None:
            samples = [seconds_of(job, "write" if task.name.endswith("write") else "read") for job in jobs[1:]]
            return session.told(replace(task, note=noted), samples)
        found = latencies_us(jobs[0])
    except ValueError as error:
        return task.without(Status.NOT_SUPPORTED, f"fio: {error}")
    total = int(_inside(jobs[0], "read").get("total_ios", 0))
    empty = task.without(Status.OK, "")
    return empty.model_copy(update={**found, "repetitions": total, "note": f"{noted}, which keeps percentiles and not each read"})
