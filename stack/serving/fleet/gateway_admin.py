"""What the gateway says of itself, over its admin socket (edge)."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from stack.serving.errors import ServingError

TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Upstream:
    """An engine as the gateway sees it."""

    active: int
    """Requests under way."""
    total: int
    failed: int
    healthy: bool
    draining: bool


class GatewayAdmin:
    """Asks one Envoy. ServingError when it does not answer."""

    def __init__(self, socket: Path) -> None:
        self._client = httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://admin", timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def upstreams(self) -> dict[str, Upstream]:
        """Every engine in service by its address `host:port`; one that is taken out is not listed."""
        told = self._ask("GET", "/clusters", params={"format": "json"}).json()
        hosts = (host for cluster in told.get("cluster_statuses", []) for host in cluster.get("host_statuses", []))
        return dict(_upstream(host) for host in hosts if "socket_address" in host.get("address", {}))

    def active_requests(self) -> int:
        """Of clients, those under way."""
        text = self._ask("GET", "/stats", params={"filter": r"^http\.gateway\.downstream_rq_active$"}).text
        return int(text.rpartition(":")[2]) if ":" in text else 0

    def stop_listening(self) -> None:
        """New connections are refused; a request on an open one is answered, and told to close it."""
        self._ask("POST", "/drain_listeners", params={"graceful": "", "skip_exit": ""})

    def reopen_logs(self) -> None:
        """Writes go to new files of the same names, where the old ones were renamed."""
        self._ask("POST", "/reopen_logs")

    def _ask(self, method: str, path: str, params: dict[str, str] | None = None) -> httpx.Response:
        try:
            answer = self._client.request(method, path, params=params)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise ServingError(f"the gateway's admin interface does not answer {path}: {error or type(error).__name__}") from None
        return answer


def _upstream(host: dict[str, Any]) -> tuple[str, Upstream]:
    place, health = host["address"]["socket_address"], host.get("health_status", {})
    counts = {each["name"]: int(each.get("value", 0)) for each in host.get("stats", [])}
    draining = health.get("eds_health_status") == "DRAINING"
    failing = any(health.get(name) for name in ("failed_active_health_check", "failed_outlier_check"))
    upstream = Upstream(counts.get("rq_active", 0), counts.get("rq_total", 0), counts.get("rq_error", 0), not failing and not draining, draining)
    return f"{place['address']}:{place['port_value']}", upstream
