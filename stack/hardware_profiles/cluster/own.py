"""What a node wrote about itself, as the chart's DaemonSet leaves it in a ConfigMap (parsing)."""

import zlib
from collections import Counter

import msgspec

from stack.hardware_profiles.cluster.accelerators import VENDORS
from stack.hardware_profiles.cluster.inventory import OwnInventory, SeenAccelerators
from stack.hardware_profiles.cluster.wire import ConfigMap
from stack.hardware_profiles.inventory import SCHEMA

KEY = "inventory.json.gz"
COLLECTED_AT = "stackproof/collected-at"
COMPONENT = "inventory"
SELECTOR = f"app.kubernetes.io/part-of=stackproof,app.kubernetes.io/component={COMPONENT}"
MAX_BYTES = 4 << 20
GZIP = 16 + zlib.MAX_WBITS
MAKERS = {name.lower(): name for name in VENDORS.values()}
"""Nodes may run another version than the reader, which may write a maker's name in other letters."""


class UnusableError(Exception):
    """What is wrong with a node's inventory, in one line."""


def config_map_name(name: str, node: str) -> str:
    """`name` is the chart's prefix, which holds no dot; a node's name may."""
    return f"{name}-{COMPONENT}.{node}"


def node_of(config_map: str) -> str:
    return config_map.partition(".")[2]


class _Cpu(msgspec.Struct):
    model: str | None = None
    sockets: int | None = None
    physical_cores: int | None = None


class _Host(msgspec.Struct):
    vendor: str | None = None
    product: str | None = None


class _Accelerator(msgspec.Struct):
    vendor: str
    name: str | None = None
    memory_bytes: int | None = None
    driver: str | None = None
    source: str | None = None


class _Inventory(msgspec.Struct):
    """The fields that are kept; nodes may run another version of this program than the reader does."""

    schema_version: str
    cpu: _Cpu
    host: _Host
    accelerators: list[_Accelerator]


def read_own(config_map: ConfigMap) -> OwnInventory:
    """UnusableError when it holds no inventory that this version can read."""
    packed = (config_map.binary_data or {}).get(KEY)
    if packed is None:
        raise UnusableError(f"has no {KEY}")
    try:
        unpack = zlib.decompressobj(GZIP)
        text = unpack.decompress(packed, MAX_BYTES)
        if not unpack.eof:
            raise UnusableError(f"is cut short or larger than {MAX_BYTES >> 20} MiB")
        found = msgspec.json.decode(text, type=_Inventory)
    except (zlib.error, ValueError) as error:
        raise UnusableError(f"is no inventory ({error})") from None
    if found.schema_version != SCHEMA:
        raise UnusableError(f"is written as {found.schema_version[:40]!r}, and this version reads {SCHEMA}")
    seen = Counter((MAKERS.get(each.vendor.lower(), each.vendor), each.name, each.memory_bytes, _version(each)) for each in found.accelerators)
    return OwnInventory(
        collected_at=(config_map.metadata.annotations or {}).get(COLLECTED_AT),
        cpu_model=found.cpu.model,
        sockets=found.cpu.sockets,
        physical_cores=found.cpu.physical_cores,
        host=" ".join(part for part in (found.host.vendor, found.host.product) if part) or None,
        accelerators=tuple(
            SeenAccelerators(vendor=vendor, name=name, memory_bytes=memory, driver=driver, count=count)
            for (vendor, name, memory, driver), count in seen.items()
        ),
    )


def _version(seen: _Accelerator) -> str | None:
    """On the PCI bus, `driver` is the name of a kernel module and no version."""
    return None if seen.source == "pci" else seen.driver
