"""What a deployment tells of itself: its lock from the start, and a status once it is ready, two files in its folder that others read (models, and those)."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

from pydantic import Field, ValidationError

from stack.evidence.record import Frozen
from stack.runtime.files import write_atomic
from stack.runtime.places import cache_dir
from stack.serving.budgets import TenantBudget
from stack.serving.errors import ServingError

STATUS_FILE, LOCK_FILE = "status.json", "lock"
WRITTEN_WITHIN_S = 1.0
"""Who has locked a folder has said so by then."""


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


class Holder(Frozen):
    """Who has a run folder, as its lock file says from the first moment on."""

    pid: int
    since: float = Field(description="Seconds since 1970")
    supervised: bool = Field(default=False, description="A session of `stackproof serve`; else a program's own, or a gateway before an engine elsewhere")


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
    """ServingError when no session runs in that folder, or one that is still starting."""
    found = look(run_dir)
    if isinstance(found, Holder):
        raise ServingError(f"{run_dir}: the session is still starting (pid {found.pid}): wait until `stackproof status` shows its parts")
    return found


def look(run_dir: Path) -> SessionStatus | Holder:
    """What a session of `stackproof serve` tells of itself; while it starts, only who it is. ServingError when none runs in that folder."""
    holder = session_holder(run_dir)
    try:
        text = (run_dir / STATUS_FILE).read_bytes()
    except OSError:
        return holder
    try:
        return SessionStatus.model_validate_json(text)
    except ValidationError:
        raise ServingError(f"{run_dir / STATUS_FILE} is of another version of stackproof: ask the version that serves there, or stop it") from None


def session_holder(run_dir: Path) -> Holder:
    """Of a session of `stackproof serve`, starting or ready. ServingError for a folder without one.

    A program's own session is none: SIGTERM may kill the program where it stands.
    """
    holder, told = read_holder(run_dir), (run_dir / STATUS_FILE).exists()
    if holder is None:
        said = "what was served from here has ended: start it again" if told else "nothing is served from here: start it"
        raise ServingError(f"{run_dir}: {said} with `stackproof serve --run-dir {run_dir}`")
    if not holder.supervised and not told:
        kinds = "the demo, a program of your own, or a gateway with --engine-url"
        raise ServingError(f"{run_dir}: is used by process {holder.pid}, which tells nothing of itself ({kinds}): end that process instead")
    return holder


def find_sessions() -> tuple[Path, ...]:
    """Folders of all live sessions of `stackproof serve` that this user started, those that are starting among them, by their port."""
    root = cache_dir() / "sessions"
    return tuple(sorted({folder.resolve() for folder in root.glob("*") if _has_session(folder)})) if root.is_dir() else ()


def _has_session(run_dir: Path) -> bool:
    try:
        session_holder(run_dir)
    except ServingError:
        return False
    return True


def read_holder(run_dir: Path) -> Holder | None:
    """Of the process that has the folder now, which therefore lives; None when none has. ServingError when it does not say which it is."""
    deadline = time.monotonic() + WRITTEN_WITHIN_S
    while is_locked(run_dir):
        try:
            return Holder.model_validate_json((run_dir / LOCK_FILE).read_bytes())
        except (OSError, ValidationError):
            if time.monotonic() > deadline:
                raise ServingError(f"{run_dir / LOCK_FILE} does not say which process has it: it is of another version of stackproof") from None
            time.sleep(WRITTEN_WITHIN_S / 20)
    return None


@contextmanager
def locked(run_dir: Path, *, supervised: bool = False) -> Iterator[None]:
    """The folder is ours until the block ends, or we do. ServingError when another session has it."""
    with (run_dir / LOCK_FILE).open("a+") as lock:
        if not _take(lock):
            raise ServingError(f"--run-dir {run_dir}: another session is served from here: choose another folder, or stop it with `stackproof stop`")
        lock.truncate(0)
        (run_dir / STATUS_FILE).unlink(missing_ok=True)  # of a session that was killed
        lock.write(Holder(pid=os.getpid(), since=time.time(), supervised=supervised).model_dump_json())
        lock.flush()
        try:
            yield
        finally:
            (run_dir / STATUS_FILE).unlink(missing_ok=True)


def _take(lock: IO[str]) -> bool:
    """More than one try: whoever asks `is_locked` has it for a moment."""
    for _ in range(5):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            time.sleep(0.02)
    return False


def is_locked(run_dir: Path) -> bool:
    try:
        lock = (run_dir / LOCK_FILE).open("r")
    except OSError:  # there is none, or none that is ours to read
        return False
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
