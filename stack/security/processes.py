"""Which processes serve a port, and what they run with (edge)."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

import psutil

from stack.security.errors import CannotCheckError


@dataclass(frozen=True)
class Socket:
    """A TCP socket that waits for connections."""

    host: str
    port: int
    pid: int | None

    @property
    def on_loopback(self) -> bool:
        address = ipaddress.ip_address(self.host.partition("%")[0])
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return (mapped or address).is_loopback

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def listening() -> list[Socket]:
    """All TCP sockets of this machine that listen; `pid` None where we may not see whose they are."""
    try:
        found = psutil.net_connections("tcp")
    except psutil.Error as error:
        raise CannotCheckError(f"listening sockets cannot be read: {error}") from None
    return [Socket(each.laddr.ip, each.laddr.port, each.pid) for each in found if each.laddr and each.status == psutil.CONN_LISTEN]


def serving(port: int, *, what: str) -> list[psutil.Process]:
    """The processes that listen on a port of this machine, with all their descendants."""
    sockets = [socket for socket in listening() if socket.port == port]
    if not sockets:
        raise CannotCheckError(f"nothing on this machine listens on port {port}, where the {what} should be")
    pids = {socket.pid for socket in sockets if socket.pid is not None}
    if not pids:
        raise CannotCheckError(f"whose process listens on port {port} ({what}) may not be seen: run as its user")
    try:
        owners = [psutil.Process(pid) for pid in sorted(pids)]
        return [process for owner in owners for process in (owner, *owner.children(recursive=True))]
    except psutil.Error as error:
        raise CannotCheckError(f"processes of the {what} cannot be read: {error}") from None


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error as error:
        raise CannotCheckError(f"command line of process {process.pid} cannot be read: {error}") from None


def environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error as error:
        raise CannotCheckError(f"environment of process {process.pid} cannot be read: {error}") from None


def effective_user(process: psutil.Process) -> int:
    try:
        return process.uids().effective
    except psutil.Error as error:
        raise CannotCheckError(f"user of process {process.pid} cannot be read: {error}") from None


def core_limit_bytes(process: psutil.Process) -> int:
    """Soft limit on the size of a core file; -1 for none."""
    try:
        return process.rlimit(psutil.RLIMIT_CORE)[0]
    except (psutil.Error, AttributeError) as error:
        raise CannotCheckError(f"limits of process {process.pid} cannot be read: {error}") from None


def setting(root: Path, name: str) -> str:
    """A kernel parameter, as in `kernel.randomize_va_space`."""
    try:
        return (root / "proc/sys" / name.replace(".", "/")).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotCheckError(f"{name} cannot be read: {error}") from None
