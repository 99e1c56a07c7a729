"""One profile from start to end: groups in order, each with its share of the time; what was measured survives an interruption."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from stack.hardware_profiles.collect import collect_inventory
from stack.hardware_profiles.profile.collectives import measure_collectives
from stack.hardware_profiles.profile.conditions import Watch
from stack.hardware_profiles.profile.copies import measure_copies
from stack.hardware_profiles.profile.device import NEED_TORCH, open_device
from stack.hardware_profiles.profile.energy import Nvml, Rapl, answering
from stack.hardware_profiles.profile.engine import engine, warnings
from stack.hardware_profiles.profile.errors import ProfileError
from stack.hardware_profiles.profile.gemm import measure_gemm
from stack.hardware_profiles.profile.memory import measure_memory
from stack.hardware_profiles.profile.models import Group, Profile, Result
from stack.hardware_profiles.profile.network import measure_network
from stack.hardware_profiles.profile.peaks import peaks_of
from stack.hardware_profiles.profile.session import Session
from stack.hardware_profiles.profile.storage import measure_storage, require_folder
from stack.hardware_profiles.profile.timing import CudaClock, host_clock
from stack.hardware_profiles.tree import Tree
from stack.runtime.progress import Reporter

SHARES = {Group.GEMM: 0.5, Group.MEMORY: 0.2, Group.COPIES: 0.05, Group.COLLECTIVES: 0.1, Group.STORAGE: 0.1, Group.NETWORK: 0.05}
"""Of the budget. Starting torch and the collectives' ranks comes on top."""

QUICK_S = 15.0
LEAST_S, MOST_S = 5.0, 3600.0
BUSY_LOAD = 0.5
"""Run queue per core, before anything is measured, from which on a warning is given."""


@dataclass(frozen=True)
class Settings:
    """What the user asked for."""

    groups: frozenset[Group] = frozenset(Group)
    device: str | None = None
    budget_s: float = 60.0
    storage_dir: Path = Path()
    quick: bool = False

    def __post_init__(self) -> None:
        if not LEAST_S <= self.budget_s <= MOST_S:
            raise ProfileError(f"--budget {self.budget_s:g}s: must be between {LEAST_S:g}s and {MOST_S:g}s")


def run_profile(settings: Settings, reporter: Reporter | None = None) -> Profile:
    """Measure; a Ctrl-C ends it early and gives what there is, marked incomplete. ProfileError for what the user can mend."""
    reporter = reporter or Reporter()
    if Group.STORAGE in settings.groups:
        require_folder(settings.storage_dir)
    tree = Tree()
    inventory = collect_inventory()
    device = open_device(settings.device, settings.groups, inventory)
    counter = Nvml(device.handle) if device.handle is not None else None if device.cuda else Rapl(tree)
    session = Session(
        device=device,
        inventory=inventory,
        clock=CudaClock(device.name) if device.cuda else host_clock,
        watch=Watch(tree, device.handle),
        peak_of=peaks_of(device, inventory, tree),
        meter=answering(counter) if counter is not None else None,
        quick=settings.quick,
    )
    started_at, started = datetime.now(UTC).replace(microsecond=0), time.monotonic()
    load = session.watch.conditions().load_1m
    results, complete = _measure(session, settings, reporter)
    found = engine(with_torch=bool(settings.groups & NEED_TORCH))
    busy = load is not None and load > BUSY_LOAD * session.cores
    return Profile(
        started_at=started_at,
        seconds=time.monotonic() - started,
        complete=complete,
        device=device.name,
        device_name=device.title,
        cores=session.cores,
        last_level_cache_bytes=device.last_level_cache_bytes,
        engine=found,
        warnings=(*([f"the load average was {load:.2f} on {session.cores} cores before anything was measured"] if busy else []), *warnings(found.environment)),
        results=tuple(results),
    )


def _measure(session: Session, settings: Settings, reporter: Reporter) -> tuple[list[Result], bool]:
    """All results of the groups that were asked for, and whether it came to its end."""
    groups = [group for group in Group if group in settings.groups]
    budget = min(settings.budget_s, QUICK_S) if settings.quick else settings.budget_s
    whole = sum(SHARES[group] for group in groups)
    results: list[Result] = []
    try:
        for group in groups:
            with reporter.step(f"Measuring {group}") as step:
                session.tick = step.tick
                for result in _parts(session, settings)[group](budget * SHARES[group] / whole):
                    results.append(result)
                    step.note(result.name)
                step.note(f"{sum(result.group is group and result.median is not None for result in results)} results")
    except KeyboardInterrupt:
        return results, False
    return results, True


def _parts(session: Session, settings: Settings) -> dict[Group, Callable[[float], Iterator[Result]]]:
    return {
        Group.GEMM: lambda budget: measure_gemm(session, budget),
        Group.MEMORY: lambda budget: measure_memory(session, budget),
        Group.COPIES: lambda budget: measure_copies(session, budget),
        Group.COLLECTIVES: lambda budget: measure_collectives(session, budget),
        Group.STORAGE: lambda budget: measure_storage(session, budget, settings.storage_dir),
        Group.NETWORK: lambda budget: measure_network(session, budget),
    }
