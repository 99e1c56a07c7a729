"""What lies in a folder that may come from a stranger: regular files only, symlinks named and not followed (edge)."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

MAX_FILES = 100_000
MAX_DOCUMENT_BYTES = 64 << 20
"""Records, manifest and documents are parsed whole; samples and logs are only hashed and read by their own readers."""
DOCUMENT_SUFFIXES = frozenset({".json", ".pem", ".yaml", ".html"})


@dataclass(frozen=True)
class Listing:
    """Regular files by their path relative to the folder, and what else was found there, in words."""

    files: dict[str, Path]
    faults: tuple[str, ...]


def list_folder(root: Path) -> Listing:
    """Walk `root` without following a link; never opens a file."""
    files: dict[str, Path] = {}
    faults: list[str] = []
    for folder, subfolders, names in os.walk(root):
        subfolders.sort()
        for name in (*subfolders, *sorted(names)):
            path = Path(folder, name)
            relative = path.relative_to(root).as_posix()
            mode = path.lstat()
            if stat.S_ISREG(mode.st_mode):
                files[relative] = path
                if path.suffix in DOCUMENT_SUFFIXES and "artifacts" not in path.relative_to(root).parts and mode.st_size > MAX_DOCUMENT_BYTES:
                    faults.append(f"{printable(relative)}: larger than {MAX_DOCUMENT_BYTES >> 20} MiB: not a document of a dossier")
            elif not stat.S_ISDIR(mode.st_mode):
                faults.append(
                    f"{printable(relative)}: {'a symbolic link' if stat.S_ISLNK(mode.st_mode) else 'not a regular file'}: a dossier holds plain files only"
                )
        if len(files) > MAX_FILES:
            faults.append(f"{printable(Path(folder).name)}: more than {MAX_FILES} files: not a dossier")
            break
    return Listing(files, tuple(faults))


def printable(name: str) -> str:
    """A file name that cannot disturb a terminal."""
    return name if name.isprintable() else ascii(name)
