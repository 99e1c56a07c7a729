"""The parts of the Kubernetes API's objects that we read, as typed structs (models; parsing only).

The client's own models build every field of an object; these skip what is not named, which is most of a node. Every field may be
missing or null: what an API server sends is another program's word.
"""

from collections.abc import Callable
from functools import cache
from typing import TypeVar

import msgspec

T = TypeVar("T")


class Wire(msgspec.Struct, frozen=True, rename="camel"):
    """Unknown fields are skipped."""


class Meta(Wire, frozen=True):
    name: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class ListMeta(Wire, frozen=True):
    continue_: str | None = msgspec.field(default=None, name="continue")
    remaining_item_count: int | None = None


class RawList(Wire, frozen=True):
    """Any list, its items not looked into yet: one odd item must not cost the others."""

    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: list[msgspec.Raw] | None = None


class NameOnly(Wire, frozen=True):
    metadata: Meta


class Taint(Wire, frozen=True):
    key: str = ""
    value: str | None = None
    effect: str = ""


class NodeSpec(Wire, frozen=True):
    provider_id: str | None = msgspec.field(default=None, name="providerID")
    unschedulable: bool | None = None
    taints: list[Taint] | None = None


class Condition(Wire, frozen=True):
    type: str = ""
    status: str = ""


class Address(Wire, frozen=True):
    type: str = ""
    address: str = ""


class NodeInfo(Wire, frozen=True):
    machine_id: str | None = msgspec.field(default=None, name="machineID")
    system_uuid: str | None = msgspec.field(default=None, name="systemUUID")
    kernel_version: str | None = None
    os_image: str | None = None
    container_runtime_version: str | None = None
    kubelet_version: str | None = None
    architecture: str | None = None


class NodeStatus(Wire, frozen=True):
    capacity: dict[str, str] | None = None
    allocatable: dict[str, str] | None = None
    conditions: list[Condition] | None = None
    addresses: list[Address] | None = None
    node_info: NodeInfo | None = None


class Node(Wire, frozen=True):
    metadata: Meta
    spec: NodeSpec | None = None
    status: NodeStatus | None = None


class Attribute(Wire, frozen=True):
    string: str | None = None
    version: str | None = None


class Amount(Wire, frozen=True):
    value: str | None = None


class DeviceBody(Wire, frozen=True):
    attributes: dict[str, Attribute] | None = None
    capacity: dict[str, Amount | str] | None = None


class Device(Wire, frozen=True):
    name: str = ""
    attributes: dict[str, Attribute] | None = None
    capacity: dict[str, Amount | str] | None = None
    basic: DeviceBody | None = msgspec.field(default=None)
    """Where v1beta1 has attributes and capacity."""


class Pool(Wire, frozen=True):
    name: str = ""
    generation: int = 0
    resource_slice_count: int = 0


class SliceSpec(Wire, frozen=True):
    driver: str = ""
    pool: Pool = msgspec.field(default_factory=Pool)
    node_name: str | None = None
    devices: list[Device] | None = None


class ResourceSlice(Wire, frozen=True):
    metadata: Meta
    spec: SliceSpec


class ConfigMap(Wire, frozen=True):
    metadata: Meta
    binary_data: dict[str, bytes] | None = None


class Version(Wire, frozen=True):
    git_version: str | None = None


class GroupVersion(Wire, frozen=True):
    version: str = ""


class Group(Wire, frozen=True):
    versions: list[GroupVersion] | None = None


class Status(Wire, frozen=True):
    """What the API server says of a request it did not serve."""

    message: str | None = None


@cache
def decoder(kind: type[T]) -> Callable[[bytes | msgspec.Raw], T]:
    """Parse one object; ValueError (msgspec's) says where it is not what it should be."""
    return msgspec.json.Decoder(kind).decode
