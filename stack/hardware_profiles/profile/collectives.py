"""All-reduce and all-gather over all GPUs (nccl), or over two processes of this machine (gloo).

Bandwidths by nccl-tests' doc/PERFORMANCE.md: algorithm bandwidth is size / time, bus bandwidth is that times 2 (n - 1) / n for all-reduce
and (n - 1) / n for all-gather, so that it compares with the speed of the links whatever the number of ranks. The size of an
all-gather is that of the gathered whole.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from stack.hardware_profiles.profile import collective_rank
from stack.hardware_profiles.profile.conditions import disturbance
from stack.hardware_profiles.profile.models import Group, Result, Status
from stack.hardware_profiles.profile.session import Session, Task
from stack.runtime.process import Child

SIZES = tuple(64 << shift for shift in range(10, 21, 2))
"""64 KiB to 64 MiB, in bytes."""

START_S = 90.0
"""For the ranks to import torch and meet, on a small and busy machine."""

GRACE_S = 2.0
NOTE = "bus bandwidth by nccl-tests' formula"
Runs: TypeAdapter[list[collective_rank.Run]] = TypeAdapter(list[collective_rank.Run])


@dataclass(frozen=True)
class Team:
    backend: str
    ranks: int


def team_of(session: Session) -> Team:
    """All GPUs when there are several; else two gloo ranks, which show what the host's loopback carries."""
    import torch

    count = torch.cuda.device_count() if session.device.cuda else 0
    return Team("nccl", count) if count > 1 else Team("gloo", 2)


def bus_factor(operation: str, ranks: int) -> float:
    """Bus bandwidth over algorithm bandwidth."""
    return {"all_reduce": 2.0, "all_gather": 1.0}[operation] * (ranks - 1) / ranks


def measure_collectives(session: Session, budget_s: float) -> Iterator[Result]:
    """Both operations; the largest size is the result, the others are its sweep."""
    team = team_of(session)
    folder = Path(tempfile.mkdtemp(prefix="stackproof-collectives-"))
    try:
        yield from _measure(session, team, folder, budget_s)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def task_for(operation: str, size: int, team: Team) -> Task:
    """Its work is what crosses the bus by the formula, so that work / time is the bus bandwidth."""
    work = size * bus_factor(operation, team.ranks)
    name = f"collective.{operation}.{team.backend}"
    return Task(name, Group.COLLECTIVES, "GB/s", work, dtype="float32", shape=(size,), working_set_bytes=size * team.ranks, note=f"{team.ranks} ranks, {NOTE}")


def _measure(session: Session, team: Team, folder: Path, budget_s: float) -> Iterator[Result]:
    for operation in collective_rank.OPERATIONS:
        out = folder / f"{operation}.json"
        before, first = session.watch.conditions(), session.watch.usage()
        fault = _run(session, team, operation, out, folder, budget_s / len(collective_rank.OPERATIONS))
        if fault:
            yield task_for(operation, SIZES[-1], team).without(Status.SKIPPED, fault)
            continue
        # The ranks have ended, so that their CPU time counts as ours.
        during = disturbance(first, session.watch.usage())
        runs = Runs.validate_json(out.read_bytes())
        points = [session.point(task_for(operation, run.size, team), run.seconds) for run in runs]
        wrong = "" if all(run.right for run in runs) else "the ranks do not hold the right values"
        task = task_for(operation, runs[-1].size, team)
        yield session.told(task, runs[-1].seconds, fault=wrong, sweep=points, before=before, during=during)


def _run(session: Session, team: Team, operation: str, out: Path, folder: Path, budget_s: float) -> str:
    """Why it failed, empty when rank 0 wrote `out`. All ranks have ended when this returns."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if team.backend == "gloo":
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    sizes = ",".join(str(size) for size in SIZES)
    with ExitStack() as stack:
        ranks: list[Child] = []
        for rank in range(team.ranks):
            arguments = [team.backend, str(rank), str(team.ranks), str(folder / f"{operation}.store"), operation, sizes, str(budget_s), str(out)]
            command = [sys.executable, "-m", collective_rank.__name__, *arguments]
            child = Child.start(f"rank {rank}", command, log=folder / f"{operation}.{rank}.log", env=environment, grace_s=GRACE_S)
            stack.callback(child.stop)
            ranks.append(child)
        deadline = time.monotonic() + START_S + budget_s
        while not out.exists():
            ended = next((child for child in ranks if child.exit_status not in {None, 0}), None)
            if ended is not None:
                return f"{ended.name} ended with status {ended.exit_status}: {ended.last_words()}"
            if time.monotonic() > deadline:
                return f"not done after {START_S + budget_s:.0f} s: {ranks[0].last_words()}"
            session.tick()
            time.sleep(0.05)
    return ""
