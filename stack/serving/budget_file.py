"""Keeps what tenants used today over a restart of the policy service (edge: one file, one thread).

The file is written whole or not at all, once a second at most and only after a change, and when the service ends. So the service killed
with SIGKILL forgets at most what was charged in its last second. A request under way then keeps its estimate: its end is reported to a service
that does not know it.
"""

import fcntl
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from stack.runtime.errors import describe_validation
from stack.runtime.files import write_atomic
from stack.serving.budgets import Budgets, DayState
from stack.serving.errors import ServingError
from stack.serving.policy import GatewayPolicy

SAVE_EVERY_S = 1.0
MOST_SHARE = 0.05
"""Of the time that writing may take: with very many tenants the file is written less often."""


@contextmanager
def kept_budgets(path: Path | None, policy: GatewayPolicy) -> Iterator[Budgets | None]:
    """The counts that the file holds, and kept in it while inside; None where the policy has no daily budget.

    A file that is not there begins with nothing used. ServingError when it cannot be read or written, is none of ours, or another service keeps it.
    """
    if not policy.daily:
        yield None
        return
    if path is None:
        raise ServingError("field `classes`: the policy has daily budgets: name the file that keeps what was used of them with --budgets")
    with _alone(path):
        budgets = Budgets(read_day(path))
        saver = _Saver(path, budgets)
        saver.save()
        saver.start()
        try:
            yield budgets
        finally:
            saver.stop()


def read_day(path: Path) -> DayState | None:
    """None when there is no file; ServingError when it cannot be read or is none of ours: nobody shall get his budget twice by breaking it."""
    mend = "put it back, or remove it so that every tenant's day begins anew"
    try:
        return DayState.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ServingError(f"daily budgets {path}: cannot be read: {error.strerror}: {mend}") from None
    except ValidationError as error:
        raise ServingError(f"{describe_validation(error, source=f'daily budgets {path}')}: {mend}") from None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two services that keep one file would each forget what the other counted."""
    lock_path = path.with_name(f"{path.name}.lock")
    try:
        lock = lock_path.open("a")
    except OSError as error:
        raise ServingError(f"daily budgets {path}: {lock_path} cannot be written: {error.strerror}") from None
    with lock:
        lock_path.chmod(0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ServingError(f"daily budgets {path}: another policy service keeps them: stop it first, or name another file with --budgets") from None
        yield


class _Saver:
    """Writes from a thread of its own, so that no decision waits for the disk."""

    def __init__(self, path: Path, budgets: Budgets) -> None:
        self._path, self._budgets = path, budgets
        self._saved, self._failing = -1, False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="daily budgets", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """The last word is written here."""
        self._ending.set()
        self._thread.join()
        self._try()

    def save(self) -> None:
        """ServingError when the file cannot be written."""
        changes = self._budgets.changes
        if changes == self._saved:
            return
        try:
            write_atomic(self._path, self._budgets.state(time.time()).model_dump_json(indent=1) + "\n", mode=0o600)
        except OSError as error:
            raise ServingError(f"daily budgets {self._path}: cannot be written: {error.strerror}") from None
        self._saved = changes

    def _keep(self) -> None:
        pause_s = SAVE_EVERY_S
        while not self._ending.wait(pause_s):
            begun = time.monotonic()
            self._try()
            pause_s = max(SAVE_EVERY_S, (time.monotonic() - begun) / MOST_SHARE)

    def _try(self) -> None:
        """A disk that is full stops nobody: the counts hold in memory, and the log says so, once."""
        try:
            self.save()
        except ServingError as error:
            if not self._failing:
                logging.getLogger(__name__).error("%s; budgets still hold, but a restart would forget what is used from now on", error)
            self._failing = True
        else:
            self._failing = False
