"""What a running deployment tells of itself: a file in its folder that others read (models, and that file)."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from stack.evidence.record import Frozen
from stack.runtime.files import write_atomic
from stack.runtime.places import cache_dir
from stack.serving.budgets import TenantBudget
from stack.serving.errors import ServingError

STATUS_FILE, LOCK_FILE = "status.json", "lock"
STALE_S = 30.0
"""A live session writes more often: older than this it hangs."""


class PartStatus(Frozen):
    """A process of the deployment."""

    name: str
    kind: Literal["engine", "policy service", "gateway"]
    state: str
    since: float = Field(description="Seconds since 1970")
    restarts: int = 0
    last_error: str | None = None
    ready_in_s: float | None = None
    memory_bytes: int | None = Field(default=None, description="Proportional set size of its process tree")
    log: str | None = None
    model: str | None = None
    canary: bool | None = None
    address: str | None = None
    requests_active: int | None = Field(default=None, description="As the gateway counts them; null for an engine that is out of service")
    requests_total: int | None = None
    requests_failed: int | None = None
    healthy: bool | None = None


class SessionStatus(Frozen):
    """A deployment, from one look at all of it."""

    pid: int
    written: float = Field(description="Seconds since 1970")
    gateway_url: str
    api_key_file: str
    run_dir: str
    restarting: str | None = Field(default=None, description="What a rolling restart does now")
    restarts_begun: int = 0
    restart_error: str | None = Field(default=None, description="Why the last restart stopped before its end")
    parts: tuple[PartStatus, ...]
    budgets: tuple[TenantBudget, ...] = Field(default=(), description="Tenants with a daily budget, the one nearest to its end first")
    budgets_left_out: int = Field(default=0, description="Tenants more that have one")

    @property
    def engines(self) -> tuple[PartStatus, ...]:
        return tuple(part for part in self.parts if part.kind == "engine")

    @property
    def ready(self) -> bool:
        return all(part.state == "ready" for part in self.parts)


def write_status(status: SessionStatus) -> None:
    write_atomic(Path(status.run_dir) / STATUS_FILE, status.model_dump_json(indent=2) + "\n", mode=0o600)


def read_status(run_dir: Path) -> SessionStatus:
    """ServingError when no session runs in that folder."""
    try:
        text = (run_dir / STATUS_FILE).read_bytes()
    except OSError:
        raise ServingError(f"{run_dir}: nothing is served from here: start it with `stackproof serve --run-dir {run_dir}`") from None
    try:
        status = SessionStatus.model_validate_json(text)
    except ValidationError:
        raise ServingError(f"{run_dir / STATUS_FILE} is of another version of stackproof: stop what serves there with the version that started it") from None
    if not is_locked(run_dir):
        raise ServingError(f"{run_dir}: what was served from here has ended: start it again with `stackproof serve --run-dir {run_dir}`")
    return status


def find_sessions() -> tuple[Path, ...]:
    """Folders of all live sessions that this user started, by their port."""
    root = cache_dir() / "sessions"
    return tuple(sorted(folder.resolve() for folder in root.glob("*") if is_locked(folder))) if root.is_dir() else ()


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """The folder is ours until the block ends, or we do. ServingError when another session has it."""
    with (run_dir / LOCK_FILE).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ServingError(f"--run-dir {run_dir}: another session is served from here: choose another folder, or stop it with `stackproof stop`") from None
        lock.truncate(0)
        lock.write(json.dumps({"pid": os.getpid(), "since": time.time()}))
        lock.flush()
        try:
            yield
        finally:
            (run_dir / STATUS_FILE).unlink(missing_ok=True)


def is_locked(run_dir: Path) -> bool:
    try:
        with (run_dir / LOCK_FILE).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
