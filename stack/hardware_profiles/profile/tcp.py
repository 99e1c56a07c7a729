"""Two ends of a TCP connection (edge): `python -m stack.hardware_profiles.profile.tcp HOST PORT_FILE` is the far one.

The near end asks for blocks or single bytes, one command byte at a time; the far end answers and knows nothing of time.
"""

import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stack.runtime.files import write_atomic

BLOCK = 64 << 20
"""Bytes of one timed block: far more than the buffers of both kernels, so that these do not hide the wire."""

PIECE = 1 << 20
TIMEOUT_S = 60.0
WANT_BLOCK, WANT_BYTE = b"B", b"b"
LEAST_BLOCKS, MOST_BLOCKS = 3, 50
LEAST_TRIPS, MOST_TRIPS = 200, 2000


@dataclass(frozen=True)
class Measured:
    """Seconds of each block received and of each round trip."""

    blocks_s: tuple[float, ...]
    round_trips_s: tuple[float, ...]


class Peer:
    """Listens on `host` and serves one connection after another in a thread."""

    def __init__(self, host: str) -> None:
        self._listener = socket.create_server((host, 0))
        threading.Thread(target=self.serve, daemon=True).start()

    def port(self) -> int:
        number: int = self._listener.getsockname()[1]
        return number

    def serve(self) -> None:
        while True:
            line, _ = self._listener.accept()
            with line, suppress(OSError):
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                line.settimeout(TIMEOUT_S)
                _answer(line)


def measure(host: str, port: int, budget_s: float) -> Measured:
    """Half of the time for each; OSError when the far end goes away."""
    with socket.create_connection((host, port), timeout=TIMEOUT_S) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = bytearray(PIECE)
        _ask(line, WANT_BLOCK, BLOCK, buffer)  # warm-up: slow start
        blocks = _repeated(line, WANT_BLOCK, BLOCK, buffer, budget_s / 2, (LEAST_BLOCKS, MOST_BLOCKS))
        trips = _repeated(line, WANT_BYTE, 1, buffer, budget_s / 2, (LEAST_TRIPS, MOST_TRIPS))
    return Measured(tuple(blocks), tuple(trips))


def _repeated(line: socket.socket, command: bytes, size: int, buffer: bytearray, budget_s: float, bounds: tuple[int, int]) -> list[float]:
    end = time.monotonic() + budget_s
    times: list[float] = []
    while len(times) < bounds[0] or (len(times) < bounds[1] and time.monotonic() < end):
        started = time.perf_counter()
        _ask(line, command, size, buffer)
        times.append(time.perf_counter() - started)
    return times


def _ask(line: socket.socket, command: bytes, size: int, buffer: bytearray) -> None:
    line.sendall(command)
    while size > 0:
        got = line.recv_into(buffer, min(size, len(buffer)))
        if not got:
            raise ConnectionResetError("the far end hung up")
        size -= got


def _answer(line: socket.socket) -> None:
    piece = bytes(PIECE)
    while command := line.recv(1):
        if command == WANT_BYTE:
            line.sendall(command)
        else:
            for _ in range(BLOCK // PIECE):
                line.sendall(piece)


def main(host: str, port_file: Path) -> None:
    """Serve until ended from outside."""
    peer = Peer(host)
    write_atomic(port_file, str(peer.port()))
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
