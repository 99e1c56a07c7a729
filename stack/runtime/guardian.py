"""Run one command so that nothing of it outlives us: `python guardian.py LIFELINE_FD GRACE_S LOG LOG_BYTES -- COMMAND...`.

The guardian adopts every orphan below it (PR_SET_CHILD_SUBREAPER) and watches a pipe whose other end
its starter holds. When the pipe closes (the starter died, even by SIGKILL), on SIGTERM or SIGINT, or
when the command ends by itself, it ends what is left of the tree: SIGTERM, then SIGKILL after the
grace. It exits with the command's status (128 + N after signal N). What the command prints goes to LOG; at LOG_BYTES the
file is renamed to LOG.1 and a new one begun, so that a server may run for months: nothing is lost between the two, as
nobody but us writes them. Standard library only and started with `-I -S`, so that it costs some 10 MB and starts in milliseconds.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
POLL_S = 0.05
LOGS_KEPT = 3
PIPE_BYTES = 1 << 16
LAST_WORDS_S = 2.0


def main(argv: list[str]) -> int:
    lifeline, grace_s, log, log_bytes = int(argv[1]), float(argv[2]), argv[3], int(argv[4])
    command = argv[argv.index("--") + 1 :]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake_read, wake_write = os.pipe()
    for end in (wake_read, wake_write):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake_write)
    asked_to_stop = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal asked_to_stop
        asked_to_stop = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGCHLD, lambda *_: None)

    log_read, log_write = os.pipe()
    child = os.fork()
    if child == 0:
        start_child(libc, command, log_write, (lifeline, wake_read, wake_write, log_read, log_write))
    os.close(log_write)
    pump = threading.Thread(target=keep_log, args=(log_read, log, log_bytes), daemon=True)
    pump.start()

    status: int | None = None
    while status is None and not asked_to_stop:
        readable, _, _ = select.select([lifeline, wake_read], [], [])
        if lifeline in readable and os.read(lifeline, 1) == b"":
            asked_to_stop = True
        if wake_read in readable:
            os.read(wake_read, 4096)
        status = reap(child)
    result = end_tree(child, status, grace_s)
    pump.join(LAST_WORDS_S)
    return result


def keep_log(source: int, path: str, most_bytes: int) -> None:
    """Copy what comes from `source` to the log, which is renamed when it is full, until all writers are gone."""
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    size = os.fstat(log).st_size
    while chunk := os.read(source, PIPE_BYTES):
        if size and size + len(chunk) > most_bytes:
            for number in range(LOGS_KEPT - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(f"{path}.{number}", f"{path}.{number + 1}")
            with contextlib.suppress(FileNotFoundError):
                os.replace(path, f"{path}.1")
            os.close(log)
            log, size = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), 0
        with contextlib.suppress(OSError):  # a full disk shall not stop the server
            size += os.write(log, chunk)


def start_child(libc: ctypes.CDLL, command: list[str], output: int, close: tuple[int, ...]) -> None:
    """In the forked child: a session of its own, tied to the guardian's life, then exec. Never returns."""
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.setsid()
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for descriptor in close:
            os.close(descriptor)
        os.execvp(command[0], command)  # noqa: S606  # an argument list, never a shell
    except OSError as error:
        print(f"cannot start {command[0]}: {error.strerror}", file=sys.stderr, flush=True)
    finally:
        os._exit(127)


def end_tree(child: int, status: int | None, grace_s: float) -> int:
    """Stop the command first, then whatever it left behind; returns the command's exit status."""
    deadline = time.monotonic() + grace_s
    if status is None:
        send(child, signal.SIGTERM)
        while status is None and time.monotonic() < deadline:
            time.sleep(POLL_S)
            status = reap(child)
    # A command that ended by itself gets a moment for its helpers to leave; then they are told to.
    for number in (signal.SIGTERM, signal.SIGKILL):
        limit = time.monotonic() + (min(grace_s, 1.0) if number == signal.SIGTERM else 10.0)
        while (left := descendants(os.getpid())) and time.monotonic() < limit:
            for pid in left:
                send(pid, number)
            time.sleep(POLL_S)
            ended = reap(child)
            status = ended if status is None else status
    return 128 + signal.SIGKILL if status is None else status


def reap(child: int) -> int | None:
    """Collect every ended child (adopted ones too); the command's exit status once it has ended."""
    result = None
    while True:
        try:
            pid, raw = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return result
        if pid == 0:
            return result
        if pid == child:
            code = os.waitstatus_to_exitcode(raw)
            result = code if code >= 0 else 128 - code


def descendants(root: int) -> list[int]:
    """Process ids of all live descendants of `root`, deepest last; zombies are left out."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                state, parent = stat.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state not in "ZX":
            children.setdefault(int(parent), []).append(int(entry))
    found, frontier = [], [root]
    while frontier:
        frontier = [pid for parent in frontier for pid in children.get(parent, [])]
        found += frontier
    return found


def send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
