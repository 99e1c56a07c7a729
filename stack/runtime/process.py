"""Start, watch and stop child processes. Nobody calls `subprocess` for a long-lived child around this."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stack.runtime import guardian
from stack.runtime.errors import StackproofError

GRACE_S = 15.0
POLL_S = 0.1
TAIL_BYTES = 8192
LOG_BYTES = 64 << 20
"""Of one log file; older ones are kept beside it (`guardian.keep_log`)."""


class ChildError(StackproofError):
    """A child process ended, or was not ready in time; the message has its last words and its log file."""


def kernel_oom_kills() -> int | None:
    """Processes that the kernel has killed for want of memory since it started, in any control group; None where it does not tell."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


@dataclass
class Child:
    """A running command under a guardian: its whole tree ends with `stop()`, or with us however we end."""

    name: str
    log: Path
    _guardian: subprocess.Popen[bytes]
    _lifeline: int
    grace_s: float
    started_ns: int = field(default_factory=time.monotonic_ns)
    _oom_kills: int | None = field(default_factory=lambda: kernel_oom_kills())  # noqa: PLW0108 - looked up when a child starts

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        grace_s: float = GRACE_S,
    ) -> "Child":
        """Start `command` with stdout and stderr to `log` (appended, renamed when it is full); `env` is the whole environment when given."""
        log.parent.mkdir(parents=True, exist_ok=True)
        read_end, write_end = os.pipe()
        guarded = [sys.executable, "-I", "-S", guardian.__file__, str(read_end), str(grace_s), str(log.resolve()), str(LOG_BYTES), "--", *command]
        try:
            with log.open("ab") as output:
                process = subprocess.Popen(
                    guarded,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=None if env is None else dict(env),
                    cwd=cwd,
                    pass_fds=(read_end,),
                    # A Ctrl-C in the terminal reaches us alone: we stop our children in order.
                    start_new_session=True,
                )
        except BaseException:
            os.close(write_end)
            raise
        finally:
            os.close(read_end)
        return cls(name=name, log=log, _guardian=process, _lifeline=write_end, grace_s=grace_s)

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._guardian.poll()

    def wait_ready(self, probe: Callable[[], bool], *, timeout_s: float, tick: Callable[[], None] = lambda: None) -> float:
        """Poll `probe` until it is true; seconds since the start. ChildError when the child ends or time runs out."""
        deadline = time.monotonic() + timeout_s
        while True:
            if self.exit_status is not None:
                raise ChildError(f"{self.name} ended with status {self.exit_status} before it was ready: {self.last_words()} (log: {self.log})")
            if probe():
                return (time.monotonic_ns() - self.started_ns) / 1e9
            if time.monotonic() > deadline:
                raise ChildError(f"{self.name} was not ready after {timeout_s:.0f} s: {self.last_words()} (log: {self.log})")
            tick()
            time.sleep(POLL_S)

    def last_words(self) -> str:
        """The last line of the log that looks like an error, else its last line."""
        try:
            with self.log.open("rb") as stream:
                stream.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
                lines = [line.strip() for line in stream.read().decode(errors="replace").splitlines() if line.strip()]
        except OSError:
            return "no output"
        errors = [line for line in lines if "error" in line.lower()]
        return (errors or lines or ["no output"])[-1][:300]

    @property
    def memory_ran_out(self) -> bool:
        """Whether the kernel has killed a process, most likely one of this tree, for want of memory since the start."""
        now = kernel_oom_kills()
        return now is not None and self._oom_kills is not None and now > self._oom_kills

    def memory_bytes(self) -> int:
        """Proportional set size of the whole tree (shared pages counted once); 0 when it has ended."""
        return tree_memory_bytes(self._guardian.pid)

    def pids(self) -> list[int]:
        """The guardian and all its live descendants."""
        return [self._guardian.pid, *guardian.descendants(self._guardian.pid)] if self.exit_status is None else []

    def stop(self) -> None:
        """Ask the tree to end, wait, and make sure of it; safe to call twice."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        try:
            self._guardian.wait(timeout=self.grace_s + 15)
        except subprocess.TimeoutExpired:
            for pid in reversed(self.pids()):
                guardian.send(pid, signal.SIGKILL)
            self._guardian.wait(timeout=10)


def tree_memory_bytes(pid: int) -> int:
    """Sum of PSS (proc(5), smaps_rollup) over a process and its descendants, in bytes; those that end meanwhile count 0."""
    return sum(_pss_bytes(each) for each in [pid, *guardian.descendants(pid)])


def _pss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
