"""Counts what each tenant asks for against its class, in memory of one policy service (logic; clocks are passed in).

A request is opened when it is let through and closed when Envoy reports its end. Windows are exact: no 60 seconds
hold more than the limit, by the estimate of a request until its end is known and by the engine's count from then on.
Budgets for a day are `budgets`'.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from msgspec import Struct

from stack.serving.budgets import Budgets, DayCharge
from stack.serving.over_limit import OverLimitError, SlotsTakenError, worst
from stack.serving.tenants import Principal, RateClass

WINDOW_S = 60.0


class Demand(Struct, frozen=True):
    """What a request asks for. `tokens` is an estimate: of the prompt by its characters, of the answer by its cap."""

    model: str
    tokens: int
    asks_usage: bool = True
    """False for a stream whose client did not ask for the usage block."""
    beginning: str = ""
    """Of the prompt, where engines are chosen by it: requests that share it are best answered by one engine."""


@dataclass
class _Charge:
    at_s: float
    amount: int


@dataclass
class _Window:
    """Amounts charged in the last 60 seconds, oldest first."""

    charges: deque[_Charge] = field(default_factory=deque)
    total: int = 0

    def expire(self, now_s: float) -> None:
        while self.charges and self.charges[0].at_s <= now_s - WINDOW_S:
            self.total -= self.charges.popleft().amount

    def add(self, amount: int, now_s: float) -> _Charge:
        charge = _Charge(now_s, amount)
        self.charges.append(charge)
        self.total += amount
        return charge

    def correct(self, charge: _Charge, amount: int, now_s: float) -> None:
        """Set what a charge came to. One that has left the window changes nothing any more."""
        self.expire(now_s)
        if charge.at_s > now_s - WINDOW_S:
            self.total += amount - charge.amount
            charge.amount = amount

    def wait_s(self, amount: int, limit: int, now_s: float) -> float:
        """Seconds until `amount` fits under `limit`, 0 when it fits now."""
        self.expire(now_s)
        excess = self.total + amount - limit
        for charge in self.charges:
            if excess <= 0:
                break
            excess -= charge.amount
            if excess <= 0:
                return charge.at_s + WINDOW_S - now_s
        return 0.0 if excess <= 0 else WINDOW_S


@dataclass
class _Account:
    requests: _Window = field(default_factory=_Window)
    tokens: _Window = field(default_factory=_Window)
    open: int = 0


@dataclass(frozen=True)
class _Open:
    tenant: str
    opened_s: float
    tokens: _Charge | None
    day: DayCharge | None


@dataclass
class Quotas:
    """All tenants' accounts. Not shared between processes: where limits are set, one policy service decides."""

    classes: dict[str, RateClass]
    longest_s: float
    """No request lasts longer; a slot whose end was never reported is free after it."""
    budgets: Budgets = field(default_factory=Budgets)
    wall_s: Callable[[], float] = time.time
    """Seconds since 1970, by which a day begins."""
    _accounts: dict[str, _Account] = field(default_factory=dict)
    _open: dict[str, _Open] = field(default_factory=dict)

    def open(self, request_id: str, principal: Principal, demand: Demand | None, now_s: float) -> None:
        """Charge a request; a `demand` of None generates nothing and only counts as a request.

        OverLimitError, and nothing charged, when a limit is reached; of several the one that takes longest.
        """
        limits, account = self.classes[principal.rate_class], self._accounts.setdefault(principal.tenant, _Account())
        tokens = demand.tokens if demand is not None else None
        self._free_forgotten(now_s)
        if over := worst(self._over(principal.tenant, limits, account, tokens, now_s)):
            raise over
        if demand is not None and limits.concurrent_requests is not None and account.open >= limits.concurrent_requests:
            raise SlotsTakenError(f"{limits.concurrent_requests} requests at a time are this key's limit", retry_after_s=1.0)
        if limits.requests_per_minute is not None:
            account.requests.add(1, now_s)
        day = self.budgets.charge(principal, limits, tokens, self.wall_s()) if limits.daily else None
        if tokens is not None and limits.metered:
            charge = account.tokens.add(tokens, now_s) if limits.tokens_per_minute is not None else None
            self._open[request_id] = _Open(principal.tenant, now_s, charge, day)
            account.open += 1

    def close(self, request_id: str, tokens: int | None, now_s: float) -> str | None:
        """End a request: `tokens` replaces its estimate, None lets it stand. The tenant, None for a request that is not open."""
        ended = self._open.pop(request_id, None)
        if ended is None:
            return None
        account = self._accounts[ended.tenant]
        account.open -= 1
        if ended.tokens is not None and tokens is not None:
            account.tokens.correct(ended.tokens, tokens, now_s)
        if ended.day is not None:
            self.budgets.settle(ended.day, tokens)
        return ended.tenant

    def _over(self, tenant: str, limits: RateClass, account: _Account, tokens: int | None, now_s: float) -> Iterator[OverLimitError]:
        if limits.requests_per_minute is not None and (wait_s := account.requests.wait_s(1, limits.requests_per_minute, now_s)):
            yield OverLimitError(f"{limits.requests_per_minute} requests a minute are this key's limit", retry_after_s=wait_s)
        if limits.tokens_per_minute is not None and tokens is not None:
            yield from _over_tokens(limits.tokens_per_minute, account, tokens, now_s)
        if limits.daily:
            yield from self.budgets.over(tenant, limits, tokens, self.wall_s())

    def _free_forgotten(self, now_s: float) -> None:
        """Requests are kept in the order they came, so the oldest is first."""
        while self._open:
            request_id, oldest = next(iter(self._open.items()))
            if oldest.opened_s > now_s - self.longest_s:
                return
            self.close(request_id, None, now_s)


def _over_tokens(limit: int, account: _Account, tokens: int, now_s: float) -> Iterator[OverLimitError]:
    if tokens > limit:
        told = f"an estimated {tokens} tokens are more than the {limit} a minute of this key"
        yield OverLimitError(f"{told}: shorten the prompt or set max_tokens", retry_after_s=None)
    elif wait_s := account.tokens.wait_s(tokens, limit, now_s):
        yield OverLimitError(f"{limit} tokens a minute are this key's limit", retry_after_s=wait_s)
