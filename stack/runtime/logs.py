"""Logs that do not grow for ever: NAME, NAME.1, NAME.2, the higher the older."""

from pathlib import Path


def rotate(path: Path, *, keep: int | None = None) -> None:
    """Rename `path` to `path`.1 and so on, of which `keep` stay, or all. Whoever writes it goes on in the renamed file until it opens a new one."""
    older = [numbered(path, 1 + index) for index in range(len(old_logs(path)))]
    for number, file in reversed(list(enumerate(older, start=1))):
        if keep is not None and number >= keep:
            file.unlink(missing_ok=True)
        else:
            file.replace(numbered(path, number + 1))
    path.replace(numbered(path, 1))


def old_logs(path: Path) -> list[Path]:
    """The renamed ones without a gap, oldest first."""
    found: list[Path] = []
    while (older := numbered(path, len(found) + 1)).exists():
        found.append(older)
    return found[::-1]


def numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
