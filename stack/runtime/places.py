"""Where things live outside a run's output folder (XDG base directories; one variable moves each)."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """Things that can be made again: converted models, unpacked binaries. `STACKPROOF_CACHE` moves it."""
    return _place("STACKPROOF_CACHE", "XDG_CACHE_HOME", ".cache")


def config_dir() -> Path:
    """Things that cannot be made again: the signing key. `STACKPROOF_CONFIG` moves it."""
    return _place("STACKPROOF_CONFIG", "XDG_CONFIG_HOME", ".config")


def _place(own: str, xdg: str, fallback: str) -> Path:
    if named := os.environ.get(own):
        return Path(named)
    base = os.environ.get(xdg)
    return (Path(base) if base else Path.home() / fallback) / "stackproof"
