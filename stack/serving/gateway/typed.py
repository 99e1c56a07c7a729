"""Small pieces of Envoy's configuration language (pure)."""

import ipaddress
from typing import Any

TYPE = "type.googleapis.com/envoy.extensions"
BUFFER_BYTES = 64 << 10


def address_of(address: str) -> dict[str, Any]:
    if address.startswith("unix:"):
        return {"pipe": {"path": address.removeprefix("unix:"), "mode": 0o600}}
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def is_fixed(address: str) -> bool:
    """Whether an address needs no name resolution."""
    if address.startswith("unix:"):
        return True
    try:
        ipaddress.ip_address(address.rpartition(":")[0])
    except ValueError:
        return False
    return True


def discovery(*addresses: str) -> dict[str, Any]:
    """How a cluster finds its addresses. Of a name all are tried, IPv6 and IPv4: `localhost` has both, and a server may listen on one alone."""
    return {"type": "STATIC"} if all(map(is_fixed, addresses)) else {"type": "STRICT_DNS", "dns_lookup_family": "ALL"}


def typed(name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "typed_config": config}


def seconds(value: float) -> str:
    """A protobuf Duration."""
    return f"{value:g}s"
