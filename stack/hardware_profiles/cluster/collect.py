"""One cluster inventory from all parts of the API."""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from stack.hardware_profiles.cluster.inventory import ClusterInventory, ClusterNode, NodeAccelerator, OwnInventory
from stack.hardware_profiles.cluster.kinds import group
from stack.hardware_profiles.cluster.listing import Get, read_list
from stack.hardware_profiles.cluster.nodes import Identify, identifier, read_node
from stack.hardware_profiles.cluster.own import SELECTOR, UnusableError, node_of, read_own
from stack.hardware_profiles.cluster.rights import missing
from stack.hardware_profiles.cluster.slices import Devices, NodeDevices, read_slices
from stack.hardware_profiles.cluster.target import Api, ClusterError, MissingError, RefusedError
from stack.hardware_profiles.cluster.wire import ConfigMap, Group, NameOnly, Node, ResourceSlice, Version, decoder
from stack.hardware_profiles.inventory import Probe

T = TypeVar("T")
SLICE_VERSIONS = ("v1", "v1beta2", "v1beta1")
"""Newest first; v1alpha3 lacked what pools need."""
SHOWN_NAMES = 5


def collect_cluster(api: Api, *, namespace: str, identifiers: bool = False) -> ClusterInventory:
    """What is in the cluster; `namespace` is where the chart's DaemonSet keeps the nodes' own inventories.

    Nodes must be readable: ClusterError otherwise. Any other part that is not leaves a probe with the reason, and the rule that is missing.
    """
    notes = _Notes()
    uid = notes.attempt("cluster", lambda: decoder(NameOnly)(api.get("/api/v1/namespaces/kube-system")).metadata.uid or None)
    identify = identifier(uid.encode() if uid else secrets.token_bytes(32), shown=identifiers)
    try:
        nodes = read_list(api.get, "/api/v1/nodes", lambda raw: _node(raw, identify, notes))
    except RefusedError as error:
        raise ClusterError(f"{api.server}: these credentials may not list nodes: {missing('nodes', str(error))}") from None
    except MissingError:
        raise ClusterError(f"{api.server}: is no Kubernetes API server (404 for /api/v1/nodes): check the server of the context") from None
    devices = notes.attempt("devices", lambda: _devices(api.get, notes)) or Devices({}, 0, ())
    own = notes.attempt("own", lambda: _own(api.get, namespace, notes)) or {}
    merged = tuple(_merged(node, devices.by_node.get(node.name, NodeDevices()), own.get(node.name)) for node in sorted(nodes, key=lambda node: node.name))
    return ClusterInventory(
        cluster=identify(uid) if uid else None,
        version=notes.attempt("version", lambda: decoder(Version)(api.get("/version")).git_version),
        nodes=merged,
        kinds=group(merged),
        unplaced_devices=devices.unplaced,
        warnings=tuple(_warnings(merged, devices, own)),
        probes=tuple(notes.probes),
    )


@dataclass
class _Notes:
    probes: list[Probe] = field(default_factory=list)

    def attempt(self, name: str, read: Callable[[], T]) -> T | None:
        """A part that may be missing: None, with the reason noted under its name. No connection at all is no such reason."""
        try:
            value = read()
        except RefusedError as error:
            self.fail(name, missing(name, str(error)) if name != "version" else f"not allowed ({error})")
        except MissingError:
            self.fail(name, "this API server does not offer it")
        except ValueError as error:
            self.fail(name, f"the answer is not as documented ({error})")
        else:
            self.probes.append(Probe(name=name, ok=True))
            return value
        return None

    def fail(self, name: str, reason: str) -> None:
        """Once, even where a list was read twice."""
        if (probe := Probe(name=name, ok=False, reason=reason)) not in self.probes:
            self.probes.append(probe)


def _node(raw: msgspec.Raw, identify: Identify, notes: _Notes) -> ClusterNode:
    """A node whose fields have other types than documented keeps its name, and the reason is noted."""
    try:
        return read_node(decoder(Node)(raw), identify)
    except ValueError as error:
        try:
            name = decoder(NameOnly)(raw).metadata.name
        except ValueError:
            name = ""
        notes.fail(f"nodes.{name or '(no name)'}", f"is not as documented ({error})")
        return ClusterNode(name=name, ready=None)


def _devices(get: Get, notes: _Notes) -> Devices:
    offered = {each.version for each in decoder(Group)(get("/apis/resource.k8s.io", ())).versions or []}
    version = next((each for each in SLICE_VERSIONS if each in offered), None)
    if version is None:
        raise MissingError
    read, slices = decoder(ResourceSlice), list[ResourceSlice]()
    for raw in read_list(get, f"/apis/resource.k8s.io/{version}/resourceslices", bytes):
        try:
            slices.append(read(raw))
        except ValueError as error:
            notes.fail("devices.slice", f"a resource slice is not as documented ({error})")
    return read_slices(slices)


def _own(get: Get, namespace: str, notes: _Notes) -> dict[str, OwnInventory]:
    """By node. A ConfigMap is of the node in its name, whatever it says inside."""
    found = {}
    path = f"/api/v1/namespaces/{namespace}/configmaps"

    def read(raw: msgspec.Raw) -> None:
        config_map = decoder(ConfigMap)(raw)
        if not (node := node_of(config_map.metadata.name)):
            return
        try:
            found[node] = read_own(config_map)
        except UnusableError as error:
            notes.fail(f"own.{node}", f"ConfigMap {config_map.metadata.name} {error}")

    read_list(get, path, read, [("labelSelector", SELECTOR)])
    return found


def _merged(node: ClusterNode, devices: NodeDevices, own: OwnInventory | None) -> ClusterNode:
    """The node with its DRA devices and its own word, no device twice."""
    plugged = [each for each in node.accelerators if each.source == "device-plugin"]
    offered = {each.vendor for each in plugged}
    # The same GPUs under a device plugin and under DRA (a migration) are one set.
    drawn = [each for each in devices.accelerators if each.vendor not in offered]
    offered |= {each.vendor for each in drawn}
    told = [each for each in node.accelerators if each.source == "labels" and each.vendor not in offered]
    offered |= {each.vendor for each in told}
    known = [_described(each, own) for each in (*plugged, *drawn, *told)]
    seen = [each for each in _seen(own) if each.vendor not in offered]
    return node.model_copy(update={"accelerators": (*known, *seen), "extended": {**node.extended, **devices.others}, "own": own})


def _described(accelerator: NodeAccelerator, own: OwnInventory | None) -> NodeAccelerator:
    """Named by the node itself where nobody else did, and where it has but one kind of that vendor."""
    seen = [each for each in own.accelerators if each.vendor == accelerator.vendor] if own else []
    if accelerator.described_by is not None or accelerator.partition or len(seen) != 1:
        return accelerator
    (one,) = seen
    return accelerator.model_copy(update={"product": one.name, "memory_bytes": one.memory_bytes, "driver": one.driver, "described_by": "node"})


def _seen(own: OwnInventory | None) -> Iterable[NodeAccelerator]:
    for each in own.accelerators if own else ():
        yield NodeAccelerator(
            resource="",
            source="node",
            vendor=each.vendor,
            product=each.name,
            memory_bytes=each.memory_bytes,
            driver=each.driver,
            partition=None,
            devices=each.count,
            capacity=0,
            allocatable=0,
            described_by="node",
        )


def _warnings(nodes: tuple[ClusterNode, ...], devices: Devices, own: dict[str, OwnInventory]) -> Iterable[str]:
    """What was read and wants a look, each with the mend."""
    names = {node.name for node in nodes}
    hidden = [node.name for node in nodes if any(each.devices and not each.capacity for each in node.accelerators)]
    if hidden:
        yield f"{_named(hidden)}: accelerators that no resource offers to pods: is the vendor's device plugin or DRA driver running there?"
    ill = [node.name for node in nodes if any(each.allocatable is not None and 0 <= each.allocatable < each.capacity for each in node.accelerators)]
    if ill:
        yield f"{_named(ill)}: fewer accelerators allocatable than there are: look for unhealthy devices in the device plugin's log"
    if devices.incomplete:
        yield f"{_named(devices.incomplete)}: pools with resource slices missing: their drivers were renewing them; ask again"
    if strangers := sorted(own.keys() - names):
        yield f"{_named(strangers)}: inventories of nodes that the cluster does not list: they are left out"


def _named(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - SHOWN_NAMES} more" if len(listed) > SHOWN_NAMES else ""
    return ", ".join(listed[:SHOWN_NAMES]) + more
