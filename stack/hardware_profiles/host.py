"""The machine around the processor: maker, firmware, virtualization, trust anchors (edge)."""

from stack.hardware_profiles.inventory import Host
from stack.hardware_profiles.tree import Tree, UnreadableError

DMI = "sys/class/dmi/id"
DEVICE_TREE_MODEL = "proc/device-tree/model"
SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
# Words in the maker's or product's name that tell a hypervisor.
HYPERVISORS = {
    "kvm": "kvm",
    "qemu": "kvm",
    "amazon ec2": "kvm",
    "google compute engine": "kvm",
    "vmware": "vmware",
    "virtualbox": "virtualbox",
    "virtual machine": "hyper-v",
    "xen": "xen",
}
# A guest's clock source is named for its hypervisor.
CLOCKS = {"kvm-clock": "kvm", "hyperv_clocksource_tsc_page": "hyper-v", "xen": "xen"}
CONTAINER_MARKS = {".dockerenv": "docker", "run/.containerenv": "podman", "run/secrets/kubernetes.io": "kubernetes"}


def read_host(tree: Tree, *, virtualized: bool | None) -> Host:
    vendor = tree.attempt("host.vendor", lambda: tree.line(f"{DMI}/sys_vendor"))
    product = tree.attempt("host.product", lambda: _product(tree))
    return Host(
        vendor=vendor,
        product=product,
        firmware=tree.attempt("host.firmware", lambda: _firmware(tree)),
        virtualization=tree.attempt("host.virtualization", lambda: _virtualization(tree, f"{vendor} {product}", virtualized)),
        container=next((name for mark, name in CONTAINER_MARKS.items() if tree.exists(mark)), "none"),
        secure_boot=tree.attempt("host.secure_boot", lambda: _secure_boot(tree)),
        tpm=tree.attempt("host.tpm", lambda: f"{tree.integer('sys/class/tpm/tpm0/tpm_version_major')}.x"),
    )


def _product(tree: Tree) -> str:
    """Boards without DMI tables name themselves in the device tree."""
    return tree.line(DEVICE_TREE_MODEL if tree.exists(DEVICE_TREE_MODEL) else f"{DMI}/product_name")


def _firmware(tree: Tree) -> str:
    return " ".join(tree.line(f"{DMI}/{name}") for name in ("bios_vendor", "bios_version", "bios_date"))


def _virtualization(tree: Tree, maker: str, virtualized: bool | None) -> str:
    if tree.exists("sys/hypervisor/type"):
        return tree.line("sys/hypervisor/type")
    if named := next((kind for word, kind in HYPERVISORS.items() if word in maker.lower()), None):
        return named
    clocks = tree.line("sys/devices/system/clocksource/clocksource0/available_clocksource").split()
    if named := next((kind for clock, kind in CLOCKS.items() if clock in clocks), None):
        return named
    if virtualized is False:
        return "none"
    raise UnreadableError("a hypervisor that does not name itself" if virtualized else "neither maker, product nor clock source tells")


def _secure_boot(tree: Tree) -> bool:
    """An EFI variable is four bytes of attributes and the value."""
    content = tree.read(SECURE_BOOT)
    if len(content) != 5 or content[4] > 1:
        raise UnreadableError("the EFI variable SecureBoot has an unexpected form")
    return content[4] == 1
