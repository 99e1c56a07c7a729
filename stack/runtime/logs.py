"""Logs that do not grow for ever: NAME, NAME.1, NAME.2, the higher the older."""

from pathlib import Path


def rotate(path: Path, *, keep: int) -> None:
    """Rename `path` to `path`.1 and so on, of which `keep` stay. Whoever writes it goes on in the renamed file until it opens a new one."""
    for number in range(keep - 1, 0, -1):
        older = _numbered(path, number)
        if older.exists():
            older.replace(_numbered(path, number + 1))
    path.replace(_numbered(path, 1))


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
