"""Who can reach whom under a set of NetworkPolicies: enough of their semantics for the chart, and no more."""

import ipaddress
from dataclasses import dataclass, field
from typing import Any

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Party:
    """A pod, or with an `address` something outside the cluster."""

    labels: dict[str, str] = field(default_factory=dict)
    namespace: str = "stack"
    address: str | None = None

    @property
    def namespace_labels(self) -> dict[str, str]:
        return {"kubernetes.io/metadata.name": self.namespace}


def reaches(policies: list[Manifest], source: Party, target: Party, port: int, *, home: str = "stack", protocol: str = "TCP") -> bool:
    """Whether `source` may open a connection to `target`; the policies live in namespace `home`."""
    return _admits(policies, source, target, port, protocol, home, "egress") and _admits(policies, target, source, port, protocol, home, "ingress")


def _admits(policies: list[Manifest], subject: Party, other: Party, port: int, protocol: str, home: str, direction: str) -> bool:
    """Policies that select the subject in this direction add up; with none, everything is admitted."""
    if subject.address is not None or subject.namespace != home:
        return True
    specs = [policy["spec"] for policy in policies]
    selecting = [spec for spec in specs if direction.capitalize() in spec["policyTypes"] and _matches(spec["podSelector"], subject.labels)]
    if not selecting:
        return True
    peers = "to" if direction == "egress" else "from"
    return any(_port(rule, port, protocol) and _peer(rule, peers, other, home) for spec in selecting for rule in spec.get(direction, []))


def _port(rule: Manifest, port: int, protocol: str) -> bool:
    # No list of ports means all of them.
    return "ports" not in rule or any(item.get("port") in (None, port) and item.get("protocol", "TCP") == protocol for item in rule["ports"])


def _peer(rule: Manifest, peers: str, other: Party, home: str) -> bool:
    # No list of peers, or an empty one, means everybody.
    return not rule.get(peers) or any(_is(peer, other, home) for peer in rule[peers])


def _is(peer: Manifest, other: Party, home: str) -> bool:
    if block := peer.get("ipBlock"):
        return other.address is not None and _within(other.address, block["cidr"]) and not any(_within(other.address, hole) for hole in block.get("except", []))
    if other.address is not None:
        return False
    in_namespace = _matches(peer["namespaceSelector"], other.namespace_labels) if "namespaceSelector" in peer else other.namespace == home
    return in_namespace and _matches(peer.get("podSelector", {}), other.labels)


def _within(address: str, block: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(block)


def _matches(selector: Manifest, labels: dict[str, str]) -> bool:
    if selector.keys() - {"matchLabels"}:
        raise NotImplementedError(f"selector {selector}")
    return selector.get("matchLabels", {}).items() <= labels.items()
