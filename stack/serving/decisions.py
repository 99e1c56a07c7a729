"""The policy service's decisions, and the accounts of tenants that they are charged to (logic; `policy_app` is its HTTP)."""

import asyncio
import contextlib
import functools
import hashlib
import hmac
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from stack.serving.audit_log import AuditLog, Decision
from stack.serving.budgets import Budgets
from stack.serving.errors import ServingError
from stack.serving.gateway import EDITS_HEADER, MODEL_HEADER, PREFIX_HEADER, SALT_HEADER, TENANT_HEADER, USAGE_HEADER
from stack.serving.judge import Call, Passed, judge
from stack.serving.keys import KeyRing
from stack.serving.listed import ListedModel
from stack.serving.metrics import GatewayMetrics
from stack.serving.over_limit import OverLimitError, SlotsTakenError
from stack.serving.policy import GatewayPolicy
from stack.serving.quotas import Quotas
from stack.serving.reports import read_reports
from stack.serving.requests import RefusedError

SLOT_WAIT_S = 0.25
"""A client that asks again as soon as its answer is complete is ahead of Envoy's report of that end: it may wait this long for the slot."""
SALT_CHARS = 32
MOST_SALTS = 4096
"""Kept of those worked out; a tenant more is worked out again."""
REASON_CHARS = 200
REDACTED_AT_ONCE_BYTES = 4096
"""Larger bodies are searched by a thread, one at a time: of a text made for it, 200,000 characters take seconds, in which others are decided about."""
HEADER_SAFE = re.compile(r"[\x21-\x7e]{1,128}")
"""Names of models that may go into a header: a client chose them where no list says what is served."""


IsGone = Callable[[], Awaitable[bool]]
"""Whether the client has left meanwhile."""


class KeySource(Protocol):
    def current(self) -> KeyRing:
        """ServingError when the keys are not to be had."""


class BodyRedactor(Protocol):
    def redact(self, body: bytes) -> tuple[str, dict[str, int]]:
        """The header of edits and how many values of which kind they take out; RefusedError when it cannot be done."""


@dataclass(frozen=True)
class _Redacted:
    edits: str
    counts: dict[str, int]


class Decider:
    """Decides about requests and keeps the tenants' accounts."""

    def __init__(
        self,
        policy: GatewayPolicy,
        keys: KeySource,
        engine_key: str,
        *,
        audit: AuditLog | None = None,
        models: tuple[ListedModel, ...] = (),
        metrics: GatewayMetrics | None = None,
        redactors: Mapping[str, BodyRedactor] | None = None,
        budgets: Budgets | None = None,
    ) -> None:
        """Without `models` one engine is asked for everything, and says itself what it serves.

        `budgets` hold what was used of today's before; without them every tenant's day begins with nothing used.

        `redactors` are by class; ServingError without one that the policy asks for.
        """
        self._redactors = redactors or {}
        for name in policy.classes:
            if policy.redact_of(name) is not None and name not in self._redactors:
                raise ServingError(f"class {name}: the policy takes personal data out of its requests, and nothing here does")
        self.policy, self.models, self._keys, self._audit, self._clock = policy, models, keys, audit, time.monotonic
        self._engine_key, self._metrics, self._limits_tenants = engine_key, metrics, policy.limits_tenants
        longest_s = policy.timeouts.request_s + policy.timeouts.authorization_s + policy.timeouts.response_s
        self._large_body = asyncio.Lock()
        self._quotas = Quotas(policy.classes, longest_s, budgets or Budgets())
        if metrics is not None and policy.daily:
            metrics.show_budgets(self._quotas.budgets)
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    async def decide(self, call: Call, request_id: str, is_gone: IsGone, trace_id: str | None = None) -> dict[str, str]:
        """The headers that let a request through; RefusedError otherwise, ServingError when the keys are not to be had, or the decision cannot be told."""
        passed, redacted, started_s = None, None, self._clock()
        try:
            ring = self._keys.current()
            if self._metrics is not None:
                self._metrics.follow(ring)
            passed = judge(call, self.policy, ring, self.models)
            if self._limits_tenants:
                await self._charge(request_id, passed, is_gone)
            if self._redactors:
                redacted = await self._redact(call, request_id, passed, is_gone)
        except RefusedError as refused:
            self._write(call, request_id, trace_id, passed, refused=refused)
            self._count(call, passed, "refused", refused.status, started_s)
            raise
        except ServingError:
            self._count(call, passed, "failed", 503, started_s)
            raise
        try:
            self._write(call, request_id, trace_id, passed, redacted=redacted)
        except ServingError:  # it is not let through, so nobody will report its end
            self._close(request_id, 0)
            self._count(call, passed, "failed", 503, started_s)
            raise
        self._count(call, passed, "let through", 200, started_s)
        if redacted is None:
            return self._grants(passed)
        if self._metrics is not None:
            self._metrics.redacted(passed.principal.tenant, redacted.counts)
        return {**self._grants(passed), EDITS_HEADER: redacted.edits}

    def ended(self, message: bytes) -> None:
        """Envoy's reports; ValueError when they are none."""
        try:
            reports = read_reports(message)
        except ValueError:
            if self._metrics is not None:
                self._metrics.unreadable()
            raise
        if self._metrics is not None:
            with contextlib.suppress(ServingError):  # without keys: counted under the names that were known last
                self._metrics.follow(self._keys.current())
            self._metrics.reported(reports)
        for report in reports:
            self._close(report.request_id, report.tokens)

    def _close(self, request_id: str, tokens: int | None) -> None:
        tenant = self._quotas.close(request_id, tokens, self._clock())
        waiting = self._waiting.get(tenant, []) if tenant else []
        if waiting and not (first := waiting.pop(0)).done():
            first.set_result(None)

    async def _redact(self, call: Call, request_id: str, passed: Passed, is_gone: IsGone) -> _Redacted | None:
        """After the charge, so that a tenant's limits bound this work as well; a request that fails here is given back what it was charged."""
        redactor = self._redactors.get(passed.principal.rate_class)
        if redactor is None or passed.demand is None:
            return None
        try:
            if len(call.body) <= REDACTED_AT_ONCE_BYTES:
                return _Redacted(*redactor.redact(call.body))
            async with self._large_body:
                redacted = None if await is_gone() else _Redacted(*await asyncio.to_thread(redactor.redact, call.body))
                if redacted is None or await is_gone():  # nobody would report its end
                    raise RefusedError("the search for personal data took longer than the gateway waits", status=403)
                return redacted
        except RefusedError:
            self._close(request_id, 0)
            raise

    def _count(self, call: Call, passed: Passed | None, decision: str, status: int, started_s: float) -> None:
        if self._metrics is None:
            return
        rate_class = passed.principal.rate_class if passed else None
        self._metrics.decided((call.method, call.path), rate_class=rate_class, decision=decision, status=status, took_s=self._clock() - started_s)
        if passed is not None and passed.demand is not None and decision == "let through":
            self._metrics.estimated(passed.principal.tenant, passed.demand.tokens)

    def _write(
        self,
        call: Call,
        request_id: str,
        trace_id: str | None,
        passed: Passed | None,
        *,
        refused: RefusedError | None = None,
        redacted: _Redacted | None = None,
    ) -> None:
        if self._audit is None:
            return
        demand = passed.demand if passed else None
        decision = Decision(
            request_id=request_id,
            tenant=passed.principal.tenant if passed else refused.tenant if refused else None,
            route=f"{call.method} {call.path}",
            model=demand.model if demand else None,
            decision="refused" if refused else "let through",
            status=refused.status if refused else 200,
            reason=str(refused)[:REASON_CHARS] if refused else None,
            estimated_tokens=demand.tokens if demand else None,
            trace_id=trace_id,
            redacted=redacted.counts if redacted else None,
        )
        self._audit.write(decision)

    def _grants(self, passed: Passed) -> dict[str, str]:
        grants = {"authorization": f"Bearer {self._engine_key}", TENANT_HEADER: passed.principal.tenant}
        if passed.demand is not None:
            salt = grants[SALT_HEADER] = cache_salt(self._engine_key, passed.principal.tenant)
            if self.models or (self.policy.tracing and HEADER_SAFE.fullmatch(passed.demand.model)):
                grants[MODEL_HEADER] = passed.demand.model
            if self.policy.routing.by == "prefix":
                grants[PREFIX_HEADER] = prefix_digest(salt, passed.demand.beginning)
            limited = self.policy.classes[passed.principal.rate_class].counts_tokens
            # For the metrics alone no stream is changed: its tokens are counted where the client asked for the count.
            if limited or (self._metrics is not None and passed.demand.asks_usage):
                grants[USAGE_HEADER] = "read" if passed.demand.asks_usage else "hide"
        return grants

    async def _charge(self, request_id: str, passed: Passed, is_gone: IsGone) -> None:
        deadline_s = self._clock() + SLOT_WAIT_S
        while True:
            try:
                self._quotas.open(request_id, passed.principal, passed.demand, self._clock())
            except SlotsTakenError as taken:
                left_s = deadline_s - self._clock()
                if left_s <= 0 or not await self._slot(passed, left_s):
                    raise _refused(taken) from None
                if await is_gone():  # its end was reported before it was opened, and would never be again
                    raise _refused(taken) from None
            except OverLimitError as over:
                raise _refused(over) from None
            else:
                return

    async def _slot(self, passed: Passed, wait_s: float) -> bool:
        """Wait in line for a slot of the tenant; False when the line is as long as the slots are many."""
        line = self._waiting.setdefault(passed.principal.tenant, [])
        if len(line) >= (self.policy.classes[passed.principal.rate_class].concurrent_requests or 0):
            return False
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(turn)
        await asyncio.wait([turn], timeout=wait_s)
        if turn in line:
            line.remove(turn)
        return True


@functools.lru_cache(maxsize=MOST_SALTS)
def cache_salt(secret: str, tenant: str) -> str:
    """Tells tenants' prefixes apart in the engine's cache: the same for one tenant at every policy service that shares the secret, and not to be guessed."""
    return hmac.new(secret.encode(), b"cache-salt\0" + tenant.encode(), hashlib.sha256).hexdigest()[:SALT_CHARS]


def prefix_digest(salt: str, beginning: str) -> str:
    """The same for prompts of a tenant that begin alike, and nothing that tells of them: keyed with the tenant's cache salt."""
    return hmac.new(salt.encode(), beginning.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()[:SALT_CHARS]


def _refused(over: OverLimitError) -> RefusedError:
    return RefusedError(str(over), status=400 if over.retry_after_s is None else 429, retry_after_s=over.retry_after_s)
