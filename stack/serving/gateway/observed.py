"""Envoy's configuration together with what watches it: the collector of traces, the listener for metrics (pure)."""

from typing import Any

from stack.serving.gateway import bootstrap
from stack.serving.gateway.addresses import Addresses
from stack.serving.gateway.scrape import admin_cluster, scrape_listener
from stack.serving.gateway.tracing import RUNTIME, collector_cluster
from stack.serving.policy import GatewayPolicy


def render_envoy(policy: GatewayPolicy, addresses: Addresses) -> dict[str, Any]:
    """Envoy's bootstrap configuration, ready to be dumped as YAML or JSON. ServingError for TLS or tokens where the deployment has no place for their files."""
    config = bootstrap.render_envoy(policy, addresses)
    listeners, clusters = list(config["static_resources"]["listeners"]), list(config["static_resources"]["clusters"])
    if policy.tracing is not None:
        clusters.append(collector_cluster(policy.tracing))
        layers = config.get("layered_runtime", {}).get("layers", [])
        config["layered_runtime"] = {"layers": [*layers, {"name": "tracing", "static_layer": dict(RUNTIME)}]}
    if policy.metrics.gateway is not None:
        clusters.append(admin_cluster(addresses))
        listeners.append(scrape_listener(policy.metrics.gateway))
    return {**config, "static_resources": {**config["static_resources"], "listeners": listeners, "clusters": clusters}}
