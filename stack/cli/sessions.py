"""`stackproof status`, `restart` and `stop`: what `stackproof serve` serves in another terminal."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stack.cli.output import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from stack.serving.budgets import TenantBudget
    from stack.serving.fleet import SessionStatus
    from stack.serving.fleet.status import Holder, PartStatus

RunDirOption = Annotated[Path | None, typer.Option("--run-dir", help="Folder of the session; the only one that runs by default.")]
POLL_S = 0.2
BEGIN_S = 10.0
MIB = 1 << 20


def status(*, run_dir: RunDirOption = None, as_json: JsonOption = False) -> None:
    """Show what is served: every process, its state, restarts, memory and requests, and what tenants used of their daily budgets.

    Exit status 1 when something is not ready, as a session that is still starting, or cannot be read.
    """
    from stack.serving.fleet.status import Holder

    folders = _folders(run_dir)
    found = {folder: each for folder in folders if (each := _look(folder, alone=len(folders) == 1)) is not None}
    if as_json:
        print_json([_as_json(folder, each) for folder, each in found.items()])
    else:
        for folder, each in found.items():
            if isinstance(each, Holder):
                _show_starting(folder, each)
            else:
                _show(each)
    if len(found) < len(folders) or not all(not isinstance(each, Holder) and each.ready for each in found.values()):
        raise typer.Exit(1)


def restart(*, run_dir: RunDirOption = None) -> None:
    """Restart the engines in turn: each finishes its requests while the others of its model answer. Waits until all are ready.

    A model's only engine is replaced by one that starts beside it where there is room, else stopped first; `restart` in the deployment file decides otherwise.
    """
    from stack.serving.errors import PartEndedError
    from stack.serving.fleet import read_status

    folder = _only(run_dir)
    before = read_status(folder)
    os.kill(before.pid, signal.SIGHUP)
    said, begun, deadline = "", False, time.monotonic() + BEGIN_S
    while True:
        now = read_status(folder)
        begun = begun or now.restarting is not None or now.restarts_begun > before.restarts_begun
        if now.restarting not in {None, said}:
            said = now.restarting or ""
            typer.echo(said, err=True)
        if begun and now.restarting is None:
            break
        if not begun and time.monotonic() > deadline:
            raise PartEndedError(f"the session did not begin to restart: see what `stackproof serve` printed (logs: {folder})")
        time.sleep(POLL_S)
    if now.restart_error is not None:
        raise PartEndedError(f"the restart stopped: {now.restart_error} (logs: {folder})")
    if any(new.restarts <= old.restarts for old, new in zip(before.engines, now.engines, strict=True)) or not now.ready:
        raise PartEndedError(f"not every engine was restarted: see `stackproof status` (logs: {folder})")


def stop(*, run_dir: RunDirOption = None) -> None:
    """Stop a session: no new requests, those under way are answered, then everything ends. One that is still starting ends at once. Waits for that."""
    from stack.serving.fleet.status import is_locked, session_holder

    folder = _only(run_dir)
    with suppress(ProcessLookupError):  # it ended just now
        os.kill(session_holder(folder).pid, signal.SIGTERM)
    while is_locked(folder):
        time.sleep(POLL_S)


def _look(folder: Path, *, alone: bool) -> "SessionStatus | Holder | None":
    """None, and a line on stderr, for a session that cannot be read beside others that can."""
    from stack.serving.errors import ServingError
    from stack.serving.fleet.status import look

    try:
        return look(folder)
    except ServingError as error:
        if alone:
            raise
        typer.echo(f"stackproof: {error}", err=True)
        return None


def _as_json(folder: Path, found: "SessionStatus | Holder") -> dict[str, Any]:
    from stack.serving.fleet.status import Holder

    if isinstance(found, Holder):
        return {"state": "starting", "ready": False, "pid": found.pid, "since": found.since, "run_dir": str(folder), "parts": []}
    return {"state": "serving", "ready": found.ready, **found.model_dump(mode="json")}


def _show_starting(folder: Path, found: "Holder") -> None:
    typer.echo(f"starting  pid {found.pid}, for {_ago(found.since)}, logs in {folder}")


def _folders(run_dir: Path | None) -> tuple[Path, ...]:
    from stack.serving.errors import ServingError
    from stack.serving.fleet import find_sessions

    if run_dir is not None:
        return (run_dir.resolve(),)
    found = find_sessions()
    if not found:
        raise ServingError("nothing is served on this machine by this user: start it with `stackproof serve`")
    return found


def _only(run_dir: Path | None) -> Path:
    from stack.serving.errors import ServingError

    found = _folders(run_dir)
    if len(found) > 1:
        raise ServingError(f"--run-dir: several sessions run, say which: {', '.join(map(str, found))}")
    return found[0]


def _show(found: "SessionStatus") -> None:
    typer.echo(f"{found.gateway_url}  pid {found.pid}, logs in {found.run_dir}" + (f"\n{found.restarting}" if found.restarting else ""))
    models = {part.model for part in found.engines}
    print_table(("part", "state", "for", "restarts", "memory", "requests"), (_row(part, name_model=len(models) > 1) for part in found.parts))
    for part in found.parts:
        if part.last_error:
            typer.echo(f"{part.name}, last fault: {part.last_error}")
    if found.budgets:
        print_table(("tenant", "class", "tokens today", "requests today"), map(_budget, found.budgets))
        more = f"; {found.budgets_left_out:,} tenants more" if found.budgets_left_out else ""
        typer.echo(f"The next day begins at 00:00 UTC{more}.")


def _row(part: "PartStatus", *, name_model: bool) -> tuple[str, ...]:
    name = f"{part.name} {part.model}" if name_model and part.model else part.name
    unhealthy = " (unhealthy)" if part.healthy is False and part.state == "ready" else ""
    memory = "-" if part.memory_bytes is None else f"{part.memory_bytes / MIB:,.0f} MiB"
    counted = part.requests_total is not None
    requests = f"{part.requests_active:,} now, {part.requests_total:,} in all, {part.requests_failed:,} failed" if counted else "-"
    return (name + (" (canary)" if part.canary else ""), f"{part.state}{unhealthy}", _ago(part.since), str(part.restarts), memory, requests)


def _budget(row: "TenantBudget") -> tuple[str, ...]:
    counts = ((row.tokens, row.tokens_per_day), (row.requests, row.requests_per_day))
    return (row.tenant, row.rate_class, *(f"{used:,} of {budget:,}" if budget is not None else "-" for used, budget in counts))


def _ago(since: float) -> str:
    seconds = max(0, int(time.time() - since))
    return f"{seconds // 3600} h {seconds % 3600 // 60} min" if seconds >= 3600 else f"{seconds // 60} min {seconds % 60} s"
