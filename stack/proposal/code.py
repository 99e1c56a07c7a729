"""Which code is running, whether from a checkout or an installed package (edge)."""

import hashlib
from functools import cache
from pathlib import Path

import bench
import stack

SUFFIXES = frozenset({".py", ".html", ".css"})


@cache
def code_id() -> str:
    """SHA-256 over the sources of our packages: equal ids draw equal pages, which a version or a commit alone cannot promise."""
    digest = hashlib.sha256()
    for package in (stack, bench):
        root = Path(package.__path__[0])
        for path in sorted(path for path in root.rglob("*") if path.suffix in SUFFIXES):
            content = path.read_bytes()
            digest.update(f"{package.__name__}/{path.relative_to(root).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()
