"""Network interfaces (edge)."""

from stack.hardware_profiles.inventory import NetworkInterface
from stack.hardware_profiles.tree import Tree

NET = "sys/class/net"


def read_network(tree: Tree) -> tuple[NetworkInterface, ...]:
    """All but loopback."""
    names = tree.attempt("network", lambda: tree.names(NET)) or []
    return tuple(_interface(tree, name) for name in names if name != "lo" and tree.exists(f"{NET}/{name}/address"))


def _interface(tree: Tree, name: str) -> NetworkInterface:
    where, probe = f"{NET}/{name}", f"network.{name}"
    virtual = not tree.exists(f"{where}/device")
    return NetworkInterface(
        name=name,
        virtual=virtual,
        # The kernel says -1, or refuses the read, when the driver does not know the speed.
        speed_mbit_s=tree.attempt(f"{probe}.speed_mbit_s", lambda: tree.integer(f"{where}/speed")),
        state=tree.attempt(f"{probe}.state", lambda: tree.line(f"{where}/operstate")),
        driver=None if virtual else tree.attempt(f"{probe}.driver", lambda: tree.link_name(f"{where}/device/driver")),
        address=tree.attempt(f"{probe}.address", lambda: tree.identifier(tree.line(f"{where}/address"))),
    )
