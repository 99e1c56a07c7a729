"""Asks every source in a rhythm, each in a thread of its own, and keeps the last answer of each (edge)."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event, Lock, Thread

from stack.hardware_profiles.telemetry.readers import Reading, Source
from stack.hardware_profiles.tree import UnreadableError

logger = logging.getLogger(__name__)

LATE = 3
"""Periods after which the last answer no longer counts: a source that hangs must not look alive."""
LEAST_LATE_S = 5.0
PATIENCE_S = 30.0
"""A source that fails twice running, or from the start, is asked again after this long at the soonest: most that are missing stay so."""


@dataclass(frozen=True)
class Sample:
    """The last answer of a source; `reason` is empty when there is one."""

    source: str
    readings: tuple[Reading, ...] = ()
    reason: str = "not asked yet"
    took_s: float = 0.0
    taken_s: float = 0.0
    """When it came, on the monotonic clock."""


class Sampler:
    """From `start` to `stop`; a thread that hangs in a driver is left behind, so no one waits for it."""

    def __init__(self, sources: Sequence[Source], every_s: float) -> None:
        self._sources = tuple(sources)
        self._every_s = every_s
        self._late_s = max(LATE * every_s, LEAST_LATE_S)
        self._over = Event()
        self._lock = Lock()
        self._samples = {source.name: Sample(source.name) for source in self._sources}

    def start(self) -> None:
        for source in self._sources:
            Thread(target=self._repeat, args=(source,), name=f"telemetry-{source.name}", daemon=True).start()

    def stop(self) -> None:
        self._over.set()

    def samples(self) -> tuple[Sample, ...]:
        """One of each source, in their order; one that is overdue has its readings taken away."""
        now = time.monotonic()
        with self._lock:
            found = tuple(self._samples.values())
        return tuple(Sample(each.source, reason="no answer for too long") if not each.reason and now - each.taken_s > self._late_s else each for each in found)

    def _repeat(self, source: Source) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            sample = ask(source)
            with self._lock:
                before, self._samples[source.name] = self._samples[source.name], sample
            if sample.reason != before.reason:
                logger.warning("source %s: %s", source.name, sample.reason or "answers")
            # On the beat: a reading that took long costs the beats it missed and shifts no other.
            period_s = max(self._every_s, PATIENCE_S) if sample.reason and before.reason else self._every_s
            due += period_s * (int((time.monotonic() - due) / period_s) + 1)
            self._over.wait(due - time.monotonic())


def ask(source: Source) -> Sample:
    """Whatever a source does, it ends in a sample."""
    begun = time.monotonic()
    try:
        readings, reason = source.reader.read(), ""
    except UnreadableError as error:
        readings, reason = (), str(error)
    except Exception as error:  # one source's fault must not end the others; the reason is shown
        readings, reason = (), f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
    now = time.monotonic()
    return Sample(source.name, readings, reason, now - begun, now)
