"""Which files a model may consist of: safetensors, configuration and tokenizer, and nothing that could run."""

import json
import re
from pathlib import Path
from typing import Any

from stack.serving.errors import ModelChangedError
from stack.serving.safetensors_check import read_tensors

SUFFIXES = frozenset({".safetensors", ".json", ".jinja", ".txt", ".model", ".md"})
"""What a model folder may hold; `.model` is a SentencePiece vocabulary (a protocol buffer)."""
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""A plain name: no folder, nothing hidden, nothing a shell or a terminal would read."""
NAMES = frozenset({"LICENSE", "NOTICE", "USE_POLICY", "Notice"})
"""Texts of the licence, which have no suffix."""
PICKLE_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz", ".h5", ".msgpack"})
CODE_SUFFIXES = frozenset({".py", ".pyc", ".so", ".sh", ".dll", ".dylib", ".exe"})
CODE_KEYS = frozenset({"auto_map", "custom_pipelines", "trust_remote_code"})
"""Keys by which a configuration chooses code to run."""
CODE_STARTS = (*(bytes((0x80, protocol)) for protocol in range(2, 6)), b"PK\x03\x04", b"\x7fELF", b"#!")
"""First bytes of a pickle from protocol 2 on, a zip archive (how torch pickles), a program, and a script."""


def is_allowed(name: str) -> bool:
    """Whether a model may have a file of this name."""
    return FILE_NAME.fullmatch(name) is not None and (Path(name).suffix in SUFFIXES or name in NAMES)


def is_dangerous(name: str) -> str | None:
    """What a file is that must not be in a model, by its name; None when nothing is known against it."""
    suffix = Path(name).suffix.lower()
    return "pickled or opaque weights" if suffix in PICKLE_SUFFIXES else "code" if suffix in CODE_SUFFIXES else None


def check_formats(place: Path) -> None:
    """Only known kinds of file, sound safetensors headers, no code by name or content; ModelChangedError names the first fault."""
    for path in sorted(place.iterdir()):
        if path.is_symlink() or not path.is_file() or not is_allowed(path.name):
            raise ModelChangedError(f"{path}: not a kind of file a model may have ({', '.join(sorted(SUFFIXES))})")
        if path.suffix == ".safetensors":
            _check_safetensors(path)
        else:
            _check_start(path)
        if path.suffix == ".json":
            _check_json(path)


def _check_safetensors(path: Path) -> None:
    try:
        read_tensors(path)
    except ValueError as error:
        raise ModelChangedError(f"{path}: not a well-formed safetensors file ({error})") from None


def _check_start(path: Path) -> None:
    with path.open("rb") as stream:
        start = stream.read(4)
    if start.startswith(CODE_STARTS):
        raise ModelChangedError(f"{path}: begins like a pickle or a program, whatever it is called")


def _check_json(path: Path) -> None:
    def refuse_code(found: dict[str, Any]) -> dict[str, Any]:
        # A vocabulary may well have such a word as a token; its value is then a whole number.
        for key in sorted(key for key in CODE_KEYS & found.keys() if type(found[key]) is not int):
            raise ModelChangedError(f"{path}: names code to run ({key})")
        return found

    try:
        json.loads(path.read_bytes(), object_hook=refuse_code)
    except (ValueError, RecursionError) as error:
        raise ModelChangedError(f"{path}: not JSON ({error})") from None
