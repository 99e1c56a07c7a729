"""What each tenant has used today of its daily budget (logic; the clock is passed in).

A day is one of UTC: every budget begins anew at 00:00. What a request was charged counts for the day on which it came,
whenever it ends. `budget_file` keeps the counts over a restart; its thread and that of the metrics read them, so a lock guards them.
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import Field

from stack.evidence.record import Frozen
from stack.serving.over_limit import OverLimitError
from stack.serving.tenants import CLASS_PATTERN, TENANT_PATTERN, Principal, RateClass

DAY_S = 86_400
HELD_RETRY_S = 1.0
"""Where requests under way hold what is left: one may end at any moment, and give back what it did not use."""


class TenantDay(Frozen):
    """What a tenant was charged on one day. `rate_class` is that of its last request."""

    rate_class: str = Field(pattern=CLASS_PATTERN)
    requests: int = Field(ge=0)
    tokens: int = Field(ge=0, description="The engine's count of ended requests, the estimate of others")


class DayState(Frozen):
    """What all tenants were charged on one day, as it is kept in a file."""

    format: Literal["stackproof.budgets/v1"] = "stackproof.budgets/v1"
    day: date = Field(description="Of UTC")
    tenants: dict[Annotated[str, Field(pattern=TENANT_PATTERN)], TenantDay]


class TenantBudget(Frozen):
    """A tenant's day beside its budget; None is no budget."""

    tenant: str
    rate_class: str
    tokens: int
    tokens_per_day: int | None
    requests: int
    requests_per_day: int | None

    @property
    def share(self) -> float:
        """Used of the budget that is nearer to its end."""
        pairs = ((self.tokens, self.tokens_per_day), (self.requests, self.requests_per_day))
        return max((used / budget for used, budget in pairs if budget is not None), default=0.0)


@dataclass
class _Day:
    rate_class: str
    requests: int = 0
    tokens: int = 0
    held: int = 0
    """Of the tokens, those of requests that have not ended: an estimate."""


@dataclass(frozen=True)
class DayCharge:
    """What a request was charged, and where: counts of a day that is over are nobody's any more."""

    day: _Day
    tokens: int


class Budgets:
    """All tenants' counts of today. Not shared between processes."""

    def __init__(self, state: DayState | None = None) -> None:
        self._lock = threading.Lock()
        self._number = _number(state.day) if state else 0
        self._days = {name: _Day(day.rate_class, day.requests, day.tokens) for name, day in state.tenants.items()} if state else {}
        self.changes = 0
        """Grows with every change."""

    def over(self, tenant: str, limits: RateClass, tokens: int | None, unix_s: float) -> Iterator[OverLimitError]:
        """The budgets that a request would exceed; `tokens` is its estimate, None for one that generates nothing."""
        with self._lock:
            self._begin(unix_s)
            day, midnight_s = self._days.get(tenant) or _Day(""), (self._number + 1) * DAY_S - unix_s
        if limits.requests_per_day is not None and day.requests >= limits.requests_per_day:
            told = f"{limits.requests_per_day} requests a day are this key's budget: the next day begins at 00:00 UTC"
            yield OverLimitError(told, retry_after_s=midnight_s)
        if limits.tokens_per_day is None or tokens is None:
            return
        if tokens > limits.tokens_per_day:
            told = f"an estimated {tokens} tokens are more than the {limits.tokens_per_day} a day of this key: shorten the prompt or set max_tokens"
            yield OverLimitError(told, retry_after_s=None)
        elif day.tokens + tokens > limits.tokens_per_day:
            left = max(0, limits.tokens_per_day - day.tokens)
            told = f"{limits.tokens_per_day} tokens a day are this key's budget: {left} are left until 00:00 UTC, this request may come to {tokens}"
            fits_later = day.tokens - day.held + tokens <= limits.tokens_per_day
            yield OverLimitError(
                f"{told}; requests under way hold {day.held}" if fits_later else told, retry_after_s=min(HELD_RETRY_S, midnight_s) if fits_later else midnight_s
            )

    def charge(self, principal: Principal, limits: RateClass, tokens: int | None, unix_s: float) -> DayCharge | None:
        """Count a request that was let through; what is to be settled when it ends, if anything."""
        if not limits.daily:
            return None
        with self._lock:
            self._begin(unix_s)
            day = self._days.setdefault(principal.tenant, _Day(principal.rate_class))
            day.rate_class = principal.rate_class
            day.requests += 1
            self.changes += 1
            if tokens is None or limits.tokens_per_day is None:
                return None
            day.tokens += tokens
            day.held += tokens
            return DayCharge(day, tokens)

    def settle(self, charge: DayCharge, tokens: int | None) -> None:
        """`tokens` takes the place of the estimate, None lets it stand."""
        with self._lock:
            charge.day.held -= charge.tokens
            if tokens is not None:
                charge.day.tokens += tokens - charge.tokens
            self.changes += 1

    def state(self, unix_s: float) -> DayState:
        """As it is now."""
        with self._lock:  # decisions wait for it: what takes time is done outside
            self._begin(unix_s)
            number, counts = self._number, [(name, day.rate_class, day.requests, day.tokens) for name, day in self._days.items()]
        # Not validated again: names and classes were when they came.
        tenants = {name: TenantDay.model_construct(rate_class=each, requests=requests, tokens=tokens) for name, each, requests, tokens in counts}
        return DayState.model_construct(format="stackproof.budgets/v1", day=datetime.fromtimestamp(number * DAY_S, UTC).date(), tenants=tenants)

    def _begin(self, unix_s: float) -> None:
        """A new day forgets the one before. A clock that was put back gives nobody anything: the counts stay, for the day it shows now."""
        number = int(unix_s // DAY_S)
        if number > self._number:
            self._days = {}
        if number != self._number:
            self._number = number
            self.changes += 1


def budget_rows(classes: Mapping[str, RateClass], state: DayState | None, keys: Mapping[str, str], unix_s: float) -> tuple[TenantBudget, ...]:
    """Every tenant with a budget, the one nearest to its end first: those charged today, and those of `keys` (class by tenant)."""
    used = state.tenants if state is not None and _number(state.day) == int(unix_s // DAY_S) else {}
    known = {**keys, **{name: day.rate_class for name, day in used.items()}}
    rows = []
    for tenant, rate_class in known.items():
        limits, day = classes.get(rate_class), used.get(tenant)
        if limits is not None and limits.daily:
            counts = (day.tokens, day.requests) if day else (0, 0)
            row = TenantBudget(
                tenant=tenant,
                rate_class=rate_class,
                tokens=counts[0],
                tokens_per_day=limits.tokens_per_day,
                requests=counts[1],
                requests_per_day=limits.requests_per_day,
            )
            rows.append(row)
    return tuple(sorted(rows, key=lambda row: (-row.share, row.tenant)))


def _number(day: date) -> int:
    """Days since 1970."""
    return (day - date(1970, 1, 1)).days
