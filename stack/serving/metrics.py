"""The policy service's metrics: rate, errors and duration by route and tenant, and what tenants were charged.

In: its decisions, and Envoy's reports of how requests ended. Out: a registry for Prometheus. No value of a label is a
client's choice: routes are the policy's, classes too, tenants those of the key file; anything else is `other`.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from stack.serving.budgets import Budgets, TenantBudget, budget_rows
from stack.serving.errors import ServingError
from stack.serving.keys import KeyRing
from stack.serving.policy import GatewayPolicy
from stack.serving.reports import Ended

OTHER = "other"
NO_CLASS = "none"
"""Of a decision about nobody: the key was missing or wrong."""
DECISION_BUCKETS_S = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
REQUEST_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class GatewayMetrics:
    """One registry; counting is a few microseconds, and nothing is kept of a single request."""

    def __init__(self, policy: GatewayPolicy) -> None:
        self.registry = CollectorRegistry()
        self._routes: dict[tuple[str, str], str] = {(route.method, route.path): f"{route.method} {route.path}" for route in policy.routes}
        self._tenants: frozenset[str] = frozenset()
        self._ring: KeyRing | None = None
        self._classes = policy.classes

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"stackproof_gateway_{name}", meaning, labels, registry=self.registry)

        def histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"stackproof_gateway_{name}", meaning, labels, registry=self.registry, buckets=buckets)

        self._decisions = counter("decisions_total", "Requests decided upon", "class", "route", "decision", "status")
        self._decision_s = histogram("decision_seconds", "From the question to the decision, a wait for a free slot included", DECISION_BUCKETS_S, "route")
        self._estimated = counter("estimated_tokens_total", "Prompt and answer tokens that let-through requests may come to at most", "tenant")
        self._redacted = counter("redacted_values_total", "Pieces of personal data taken out of requests", "tenant", "kind")
        self._requests = counter("requests_total", "Requests let through that have ended, by the status the client got", "tenant", "route", "status")
        self._request_s = histogram("request_seconds", "Of requests let through, from first byte to last", REQUEST_BUCKETS_S, "tenant", "route")
        self._first_byte_s = histogram("first_byte_seconds", "Of requests let through, to the first byte of the engine's answer", REQUEST_BUCKETS_S, "route")
        self._tokens = counter("tokens_total", "Tokens by the engine's own count", "tenant", "kind")
        self._uncounted = counter("uncounted_requests_total", "Ended requests that were no refusal and told no count: their estimate stands", "tenant")
        self._reports = counter("reports_total", "Messages of the gateway about ended requests", "outcome")
        ProcessCollector(registry=self.registry)

    def follow(self, ring: KeyRing) -> None:
        """Whose names may be label values from now on."""
        if ring is not self._ring:
            self._ring, self._tenants = ring, frozenset(key.tenant for key in ring.keys)

    def show_budgets(self, budgets: Budgets) -> None:
        """Today's use is looked up whenever somebody asks, so that it is right after midnight too."""
        self.registry.register(_BudgetCollector(self, budgets))

    def budget_rows(self, budgets: Budgets) -> tuple[TenantBudget, ...]:
        """Of the key file's tenants, those with a daily budget."""
        now_s = time.time()
        classes = {key.tenant: key.rate_class for key in self._ring.keys} if self._ring is not None else {}
        return tuple(row for row in budget_rows(self._classes, budgets.state(now_s), classes, now_s) if row.tenant in self._tenants)

    def decided(self, route: tuple[str, str], *, rate_class: str | None, decision: str, status: int, took_s: float) -> None:
        name = self._routes.get(route, OTHER)
        self._decisions.labels(rate_class or NO_CLASS, name, decision, str(status)).inc()
        self._decision_s.labels(name).observe(took_s)

    def estimated(self, tenant: str, tokens: int) -> None:
        self._estimated.labels(self._tenant(tenant)).inc(tokens)

    def redacted(self, tenant: str, counts: dict[str, int]) -> None:
        for kind, count in counts.items():
            self._redacted.labels(self._tenant(tenant), kind).inc(count)

    def reported(self, ended: tuple[Ended, ...]) -> None:
        """The reports of one message."""
        self._reports.labels("read").inc()
        for each in ended:
            if each.tenant is not None:  # else the client left before anything was decided
                self._ended(each, self._tenant(each.tenant))

    def unreadable(self) -> None:
        self._reports.labels("unreadable").inc()

    def _ended(self, ended: Ended, tenant: str) -> None:
        route = self._routes.get((ended.method, ended.path), OTHER)
        self._requests.labels(tenant, route, str(ended.status)).inc()
        self._request_s.labels(tenant, route).observe(ended.duration_s)
        if ended.first_byte_s is not None:
            self._first_byte_s.labels(route).observe(ended.first_byte_s)
        for kind, count in (("prompt", ended.prompt_tokens), ("completion", ended.completion_tokens)):
            if count is not None:
                self._tokens.labels(tenant, kind).inc(count)
        if ended.tokens is None and ended.method == "POST":
            self._uncounted.labels(tenant).inc()

    def _tenant(self, name: str) -> str:
        return name if name in self._tenants else OTHER


class _BudgetCollector(Collector):
    def __init__(self, metrics: GatewayMetrics, budgets: Budgets) -> None:
        self._metrics, self._budgets = metrics, budgets

    def describe(self) -> tuple[GaugeMetricFamily, ...]:
        return self._families(())

    def collect(self) -> tuple[GaugeMetricFamily, ...]:
        return self._families(self._metrics.budget_rows(self._budgets))

    def _families(self, rows: tuple[TenantBudget, ...]) -> tuple[GaugeMetricFamily, ...]:
        used = GaugeMetricFamily("stackproof_gateway_day_used", "Charged since 00:00 UTC", labels=("tenant", "kind"))
        budget = GaugeMetricFamily("stackproof_gateway_day_budget", "What may be charged from 00:00 UTC to the next", labels=("tenant", "kind"))
        for row in rows:
            for kind, charged, limit in (("tokens", row.tokens, row.tokens_per_day), ("requests", row.requests, row.requests_per_day)):
                if limit is not None:
                    used.add_metric((row.tenant, kind), charged)
                    budget.add_metric((row.tenant, kind), limit)
        return used, budget


@contextmanager
def serve_metrics(metrics: GatewayMetrics, address: str) -> Iterator[None]:
    """Answer Prometheus at `host:port` while inside, by threads of their own; ServingError when it cannot be bound."""
    host, _, port = address.rpartition(":")
    try:
        server, thread = start_http_server(int(port), addr=host, registry=metrics.registry)
    except (OSError, OverflowError) as error:
        raise ServingError(f"field `metrics.policy_service`: {address} cannot be bound ({error}): choose another") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
