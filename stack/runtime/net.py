"""Ports on loopback."""

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
