"""What labeling may still cost: engine tokens and seconds."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from stack.pipelines.errors import PipelineError


class BudgetSpentError(PipelineError):
    """The budget ended before the records did; what was paid for is kept. `remaining`: records of this call that were not asked."""

    def __init__(self, message: str, *, remaining: int = 0) -> None:
        super().__init__(message)
        self.remaining = remaining


@dataclass
class Budget:
    """None means without end. Tokens are prompt and completion by the endpoint's usage; time counts from the first look at it.

    Requests in flight when it is spent are waited for, so it may be passed by what those cost. Several tasks that get `left` at the
    same time may each spend all of it.
    """

    tokens: int | None = None
    seconds: float | None = None
    used: int = 0
    clock: Callable[[], float] = time.monotonic
    _started: float | None = None

    def spend(self, tokens: int) -> None:
        self.used += tokens

    @property
    def spent(self) -> bool:
        return self.tokens_left == 0 or self.seconds_left == 0

    @property
    def tokens_left(self) -> int | None:
        return None if self.tokens is None else max(0, self.tokens - self.used)

    @property
    def seconds_left(self) -> float | None:
        if self._started is None:
            self._started = self.clock()
        return None if self.seconds is None else max(0.0, self.seconds - (self.clock() - self._started))

    @property
    def left(self) -> "Budget":
        """What a task may use. Its time starts where it is used: the clocks of two machines have nothing to do with each other."""
        return Budget(self.tokens_left, self.seconds_left)

    def in_words(self, *, remaining: int) -> str:
        """Which limit is reached, and what remains; one line. Also true where a task that got `left` has found it spent."""
        if self.tokens is not None and (self.used >= self.tokens or self.seconds_left != 0):
            what = f"--max-tokens {self.tokens:,} is spent"
        elif self.seconds is not None:
            what = f"--max-seconds {self.seconds:g} is over"
        else:
            what = "the budget is spent"
        return f"{what}: {remaining:,} records remain; run the same command again with a budget to go on"
