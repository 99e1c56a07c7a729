"""Checks of the machine and of how the servers on it run."""

import os
import stat
from pathlib import Path

import psutil

from stack.security import processes
from stack.security.context import AuditContext, local_port
from stack.security.errors import CannotCheckError
from stack.security.report import Finding, Status, passed, summarize, verdict

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def signing_key_private(context: AuditContext) -> Finding:
    """The key that signs evidence: a regular file of ours with mode 0600 or tighter."""
    try:
        found = context.signing_key.lstat()
    except FileNotFoundError:
        return Finding(status=Status.NOT_APPLICABLE, observed="no signing key has been made on this machine")
    except OSError as error:
        raise CannotCheckError(f"the signing key cannot be seen: {error.strerror}") from None
    faults = [] if stat.S_ISREG(found.st_mode) else ["is not a regular file"]
    faults += [f"has mode {stat.S_IMODE(found.st_mode):04o}, others can read it"] if stat.S_IMODE(found.st_mode) & 0o077 else []
    faults += [f"belongs to user {found.st_uid}, not to {os.geteuid()}"] if found.st_uid != os.geteuid() else []
    return summarize([f"signing key {fault}" for fault in faults], good=f"signing key has mode {stat.S_IMODE(found.st_mode):04o} and is ours")


def address_space_random(context: AuditContext) -> Finding:
    value = processes.setting(context.root, "kernel.randomize_va_space")
    return verdict(value == "2", f"kernel.randomize_va_space = {value}")


def no_core_dumps(context: AuditContext) -> Finding:
    """A core file holds the engine's memory: prompts, answers, keys."""
    pattern = processes.setting(context.root, "kernel.core_pattern")
    if pattern in {"", "|/bin/false", "|/bin/true", "/dev/null"}:
        return passed(f"kernel.core_pattern = {pattern!r} keeps nothing")
    limits = {process: processes.core_limit_bytes(process) for process in _servers(context)}
    faults = [f"process {process.pid} may leave a core file" for process, limit in limits.items() if limit != 0]
    return summarize(faults, good=f"core file size is limited to 0 in {len(limits)} server processes")


def servers_not_root(context: AuditContext) -> Finding:
    servers = _servers(context)
    faults = [f"process {process.pid} runs as root" for process in servers if processes.effective_user(process) == 0]
    return summarize(faults, good=f"{len(servers)} server processes run as an ordinary user")


def gateway_on_loopback(context: AuditContext) -> Finding:
    """Nothing the gateway's processes listen on can be reached from another machine."""
    return only_loopback(processes.serving(local_port(context.gateway()), what="gateway"))


def private_folders(context: AuditContext) -> Finding:
    """Whoever can write where keys and models lie, or to a folder above, can exchange them."""
    present = [place for place in context.private_dirs if place.exists()]
    if not present:
        raise CannotCheckError("neither the configuration nor the cache folder exists")
    faults = sorted({fault for place in present for fault in _writable_by_others(place.resolve())})
    return summarize(faults, good=f"{len(present)} folders of keys and models, and all above them, can be changed by their owners alone")


def only_loopback(servers: list[psutil.Process]) -> Finding:
    pids = {process.pid for process in servers}
    sockets = [socket for socket in processes.listening() if socket.pid in pids]
    faults = sorted(f"{socket} is open to other machines" for socket in sockets if not socket.on_loopback)
    return summarize(faults, good=f"all {len(sockets)} listening sockets of {len(pids)} processes are on loopback")


def _servers(context: AuditContext) -> list[psutil.Process]:
    """Processes of engine and gateway, whichever were given."""
    given = {"gateway": context.gateway_url, "engine": context.engine_url}
    if not any(given.values()):
        raise CannotCheckError("no running server was given (--url, --engine-url)")
    return list({process for what, url in given.items() if url for process in processes.serving(local_port(url), what=what)})


def _writable_by_others(place: Path) -> list[str]:
    faults = []
    for folder in (place, *place.parents):
        mode = folder.stat().st_mode
        # In a sticky folder, like /tmp, others cannot rename or remove what is not theirs.
        if mode & OTHERS_WRITE and not (mode & stat.S_ISVTX and folder != place):
            faults.append(f"{folder} has mode {stat.S_IMODE(mode):04o}")
    return faults
