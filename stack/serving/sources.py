"""Where a model's files may come from, as `models pull --from` names it.

`DIR` (also a mounted volume), `oci://HOST/REPOSITORY@sha256:DIGEST`, `hf://ORGANISATION/NAME@REVISION`.
"""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from stack.runtime.files import sha256_file
from stack.runtime.progress import Reporter
from stack.serving.errors import ModelChangedError, ServingError
from stack.serving.formats import is_allowed, is_dangerous

OCI = re.compile(
    r"oci://(?P<host>[A-Za-z0-9.-]+(?::\d{1,5})?|\[[0-9a-f:]+\](?::\d{1,5})?)/(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)@(?P<digest>sha256:[0-9a-f]{64})"
)
HUB = re.compile(r"hf://(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)@(?P<revision>[A-Za-z0-9][\w./-]*)")


@dataclass(frozen=True)
class DirectorySource:
    path: Path

    @property
    def label(self) -> str:
        """What the manifest records: no path of this machine."""
        return "directory"


@dataclass(frozen=True)
class OciSource:
    """An artifact whose layers are the files, by the digest of its manifest."""

    host: str
    repository: str
    digest: str

    @property
    def label(self) -> str:
        return f"oci://{self.host}/{self.repository}@{self.digest}"


@dataclass(frozen=True)
class HubSource:
    """A repository on the Hugging Face hub at a commit, branch or tag."""

    repository: str
    revision: str

    @property
    def label(self) -> str:
        return f"hf://{self.repository}@{self.revision}"


Source = DirectorySource | OciSource | HubSource


def parse_source(text: str) -> Source:
    """ServingError in one line when it is none of the three forms."""
    if found := OCI.fullmatch(text):
        return OciSource(**found.groupdict())
    if found := HUB.fullmatch(text):
        return HubSource(**found.groupdict())
    if text.startswith("oci://"):
        raise ServingError(f"--from: write oci://HOST/REPOSITORY@sha256:DIGEST, by digest because a tag can move, got {text}")
    if text.startswith("hf://"):
        raise ServingError(f"--from: write hf://ORGANISATION/NAME@REVISION, got {text}")
    if not text:
        raise ServingError("--from: is empty: name a directory, oci://HOST/REPOSITORY@sha256:DIGEST or hf://ORGANISATION/NAME@REVISION")
    if "://" in text:
        raise ServingError(f"--from: only a directory, oci:// and hf:// are known, got {text}")
    path = Path(text)
    if not path.is_dir():
        raise ServingError(f"--from: {text} is not a directory on this machine")
    return DirectorySource(path)


def copy_directory(source: DirectorySource, into: Path, reporter: Reporter) -> None:
    """Copy the files a model consists of; a file already copied in full is not copied again.

    Hidden files and folders are left out. ModelChangedError for pickles, code, and links that lead elsewhere.
    """
    chosen = _choose(source.path)
    with reporter.step(f"Copying {len(chosen)} files", total=sum(path.stat().st_size for path in chosen)) as step:
        for path in chosen:
            target = into / path.name
            if not (target.is_file() and target.stat().st_size == path.stat().st_size and sha256_file(target) == sha256_file(path)):
                part = into / f"{path.name}.part"
                shutil.copyfile(path, part)
                part.rename(target)
            step.advance(path.stat().st_size)
    for left in {path.name for path in into.iterdir()} - {path.name for path in chosen}:
        (into / left).unlink()


def _choose(folder: Path) -> list[Path]:
    root, chosen = folder.resolve(), []
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ServingError(f"--from: {folder} cannot be read: {error.strerror}") from None
    for path in entries:
        if path.name.startswith(".") or path.is_dir():
            continue
        if what := is_dangerous(path.name):
            raise ModelChangedError(f"{path}: {what}: a model is pulled from safetensors only; take the file away if it is not needed")
        if not path.resolve().is_relative_to(root):
            raise ModelChangedError(f"{path}: a link that leads out of {folder}: copy the folder with `cp -rL` first")
        if is_allowed(path.name) and path.is_file():
            if not os.access(path, os.R_OK):
                raise ServingError(f"{path}: cannot be read")
            chosen.append(path)
    if not any(path.suffix == ".safetensors" for path in chosen):
        raise ServingError(f"--from: {folder} holds no .safetensors file")
    return chosen
