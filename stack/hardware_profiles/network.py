"""Network interfaces, with what they offer to RDMA and to virtual machines (edge)."""

from collections.abc import Callable
from typing import TypeVar

from stack.hardware_profiles.accelerators.pci import numa_node
from stack.hardware_profiles.inventory import NetworkInterface
from stack.hardware_profiles.tree import Tree, UnreadableError

T = TypeVar("T")

NET = "sys/class/net"
RDMA = "sys/class/infiniband"
# The kernel's `link_layer`, and what RDMA over it is called.
LAYERS = {"InfiniBand": "InfiniBand", "Ethernet": "RoCE"}
IWARP = "4: RNIC"  # node_type of a card that speaks iWARP instead


def read_network(tree: Tree) -> tuple[NetworkInterface, ...]:
    """All but loopback."""
    names = tree.attempt("network", lambda: tree.names(NET)) or []
    rdma = _rdma_devices(tree)
    return tuple(_interface(tree, name, rdma) for name in names if name != "lo" and tree.exists(f"{NET}/{name}/address"))


def _interface(tree: Tree, name: str, rdma: dict[str, str]) -> NetworkInterface:
    where, probe = f"{NET}/{name}", f"network.{name}"
    virtual = not tree.exists(f"{where}/device")

    def offered(name: str, read: Callable[[], T], *, file: str) -> T | None:
        """What only some devices have: the absence of its file is the answer None, not a failure."""
        return tree.attempt(f"{probe}.{name}", lambda: read() if tree.exists(f"{where}/device/{file}") else None)

    return NetworkInterface(
        name=name,
        virtual=virtual,
        # The kernel says -1, or refuses the read, when the driver does not know the speed.
        speed_mbit_s=tree.attempt(f"{probe}.speed_mbit_s", lambda: tree.integer(f"{where}/speed")),
        state=tree.attempt(f"{probe}.state", lambda: tree.line(f"{where}/operstate")),
        driver=tree.attempt(f"{probe}.driver", lambda: None if virtual else tree.link_name(f"{where}/device/driver")),
        address=tree.attempt(f"{probe}.address", lambda: tree.identifier(tree.line(f"{where}/address"))),
        rdma=tree.attempt(f"{probe}.rdma", lambda: None if virtual else rdma.get(tree.target(f"{where}/device"))),
        virtual_functions=offered("virtual_functions", lambda: tree.integer(f"{where}/device/sriov_numvfs"), file="sriov_numvfs"),
        max_virtual_functions=offered("max_virtual_functions", lambda: tree.integer(f"{where}/device/sriov_totalvfs"), file="sriov_totalvfs"),
        numa_node=offered("numa_node", lambda: numa_node(tree, f"{where}/device"), file="numa_node"),
    )


def _rdma_devices(tree: Tree) -> dict[str, str]:
    """Kind and name, as in `RoCE mlx5_0`, by the folder of the device it shares with the interface; none without RDMA drivers."""
    names = tree.attempt("network.rdma", lambda: tree.names(RDMA)) or [] if tree.exists(RDMA) else []
    found = ((tree.target(f"{RDMA}/{name}/device"), tree.attempt(f"network.rdma.{name}", lambda name=name: _kind(tree, name))) for name in names)  # type: ignore[misc]
    return {device: kind for device, kind in found if kind is not None}


def _kind(tree: Tree, name: str) -> str:
    """By the link layer of its first port."""
    where = f"{RDMA}/{name}"
    if tree.exists(f"{where}/node_type") and tree.line(f"{where}/node_type") == IWARP:
        return f"iWARP {name}"
    port = next(iter(tree.names(f"{where}/ports")), None)
    if port is None:
        raise UnreadableError(f"/{where}/ports lists no port")
    layer = tree.line(f"{where}/ports/{port}/link_layer")
    if layer not in LAYERS:
        raise UnreadableError(f"/{where} has the link layer {layer[:40]!r}")
    return f"{LAYERS[layer]} {name}"
