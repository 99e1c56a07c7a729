"""Progress of long work on stderr: a rich bar on a terminal, plain lines elsewhere (CI, pipes)."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_LINE_EVERY_S = 5.0


@dataclass
class Step:
    """One piece of work: `advance` it, `note` what it does now. A plain reporter prints a line every 5 s at most."""

    title: str
    total: float | None
    _out: TextIO
    _bar: "Progress | None" = None
    _task: "TaskID | None" = None
    done: float = 0.0
    detail: str = ""
    _started: float = field(default_factory=time.monotonic)
    _printed: float = field(default_factory=time.monotonic)

    def advance(self, amount: float = 1.0) -> None:
        self.done += amount
        self.tick()

    def note(self, detail: str) -> None:
        self.detail = detail
        self.tick()

    def tick(self) -> None:
        """Say that the work goes on; cheap enough for every turn of a polling loop."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, total=self.total, description=self._described())
        elif time.monotonic() - self._printed >= PLAIN_LINE_EVERY_S:
            self._printed = time.monotonic()
            count = f" {self.done:g}/{self.total:g}" if self.total else ""
            left = f", about {self.seconds_left:.0f} s left" if self.seconds_left is not None else ""
            print(f"  {self._described()}{count} ({self.seconds:.0f} s{left})", file=self._out, flush=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def seconds_left(self) -> float | None:
        """From the rate so far; None while that is unknown."""
        if not self.total or not self.done:
            return None
        return max(0.0, self.seconds * (self.total - self.done) / self.done)

    def _described(self) -> str:
        return f"{self.title}: {self.detail}" if self.detail else self.title


class Reporter:
    """Where progress goes. One step at a time may nest in another; nothing of it ever reaches stdout."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._terminal = self._out.isatty()
        self._bar: Progress | None = None

    def say(self, line: str) -> None:
        """One line that stays."""
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=self._out, flush=True)

    @contextmanager
    def step(self, title: str, *, total: float | None = None) -> Iterator[Step]:
        """A step with a known amount of work (`total`) or an open end; says how long it took when it is done."""
        step = Step(title=title, total=total, _out=self._out)
        if not self._terminal:
            print(f"{title} ...", file=self._out, flush=True)
            yield step
            self.say(f"{title}: done in {step.seconds:.1f} s" + (f" ({step.detail})" if step.detail else ""))
            return
        outermost = self._bar is None
        bar = self._bar or self._new_bar()
        self._bar = bar
        step._bar, step._task = bar, bar.add_task(title, total=total)
        try:
            yield step
            self.say(f"✓ {title} ({step.seconds:.1f} s)" + (f": {step.detail}" if step.detail else ""))
        finally:
            bar.remove_task(step._task)
            if outermost:
                bar.stop()
                self._bar = None

    def _new_bar(self) -> "Progress":
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(file=self._out),
            transient=True,
        )
        bar.start()
        return bar
