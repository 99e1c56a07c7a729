"""Envoy's whole configuration (pure)."""

from typing import Any

from stack.serving.errors import ServingError
from stack.serving.gateway.addresses import Addresses
from stack.serving.gateway.answers import PROGRAM_SIZE
from stack.serving.gateway.clusters import policy_cluster, pool_cluster
from stack.serving.gateway.listener import connection_manager
from stack.serving.gateway.tls import transport_socket
from stack.serving.gateway.typed import BUFFER_BYTES, TYPE, address_of, typed
from stack.serving.policy import GatewayPolicy

CONTROL_PATHS = ("/clusters?", "/drain_listeners?", "/reopen_logs", "/stats?")
"""Of the admin interface, with their queries, for whoever started the gateway: the socket is his alone."""


def render_envoy(policy: GatewayPolicy, addresses: Addresses) -> dict[str, Any]:
    """Envoy's bootstrap configuration, ready to be dumped as YAML or JSON. ServingError for TLS or tokens where the deployment has no place for their files."""
    limits = policy.limits
    return {
        "node": {"id": "gateway", "cluster": "stackproof"},
        "admin": {
            "address": address_of(addresses.admin),
            "allow_paths": [{"exact": "/ready"}, {"exact": "/stats"}, {"exact": "/stats/prometheus"}, *({"prefix": path} for path in CONTROL_PATHS)],
        },
        "layered_runtime": {"layers": [{"name": "own", "static_layer": {"re2.max_program_size.error_level": PROGRAM_SIZE}}]},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{TYPE}.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": limits.connections,
                    },
                }
            ]
        },
        "static_resources": {
            "listeners": [
                {
                    "name": "gateway",
                    "address": address_of(addresses.listen),
                    "per_connection_buffer_limit_bytes": BUFFER_BYTES,
                    "filter_chains": [_filter_chain(policy, addresses)],
                }
            ],
            "clusters": [
                *(pool_cluster(pool, policy) for pool in addresses.pools),
                policy_cluster(addresses.policy_service, policy),
            ],
        },
    }


def _filter_chain(policy: GatewayPolicy, addresses: Addresses) -> dict[str, Any]:
    chain: dict[str, Any] = {"filters": [typed("envoy.filters.network.http_connection_manager", connection_manager(policy, addresses))]}
    if policy.issuers and addresses.secrets is None:
        raise ServingError("field `issuers`: this deployment has no place for the issuers' keys")
    if policy.tls is not None:
        if addresses.secrets is None:
            raise ServingError("field `tls`: this deployment has no place for the gateway's certificates")
        chain["transport_socket"] = transport_socket(policy.tls, addresses.secrets)
    return chain
