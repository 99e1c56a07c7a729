"""Ports on loopback, and whether somebody answers at an address."""

import errno
import socket

from stack.runtime.errors import StackproofError

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(host: str, port: int, *, option: str) -> None:
    """Raise StackproofError, naming the command-line option that picks another, when `port` cannot be bound."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            why = "is taken by another process" if error.errno == errno.EADDRINUSE else f"cannot be bound ({error.strerror})"
            raise StackproofError(f"port {port} on {host} {why}: choose another with {option}") from None


def silence(address: str, *, timeout_s: float) -> str | None:
    """Why nobody answers at host:port, asked before a client is that tries for minutes. None when somebody does, or for another kind of address."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        return None
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s).close()
    except (OSError, OverflowError) as error:
        return str(error).lower()
    return None
