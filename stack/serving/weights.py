"""Weights on this machine: pulled once, converted once, and checked before every use (edge).

A pulled model is a folder of safetensors, configuration and tokenizer with `stackproof-manifest.json`,
which names every file with its SHA-256. The folder appears whole, by one rename, or not at all.
"""

import fcntl
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from stack.evidence.record import Frozen
from stack.runtime.errors import describe_validation
from stack.runtime.files import sha256_file, sync
from stack.runtime.places import cache_dir
from stack.runtime.process import Child
from stack.runtime.progress import Reporter
from stack.serving.errors import ModelChangedError, ServingError
from stack.serving.models import SHA256_PATTERN, CatalogModel

MANIFEST = "stackproof-manifest.json"
SUFFIXES = frozenset({".safetensors", ".json", ".jinja", ".txt"})
"""What a model folder may hold: no pickle and no code."""
CONVERT_TIMEOUT_S = 900.0
HEADER_LIMIT_BYTES = 100 << 20
"""Of a safetensors file; the format's own limit."""


class ModelFile(Frozen):
    sha256: str = Field(pattern=SHA256_PATTERN)
    size_bytes: int = Field(ge=0)


class Manifest(Frozen):
    """What a pulled model consists of, and what it was made from and with."""

    model: str
    source_sha256: str = Field(pattern=SHA256_PATTERN)
    tools: dict[str, str] = Field(description="Version of each library that took part in the conversion")
    files: dict[str, ModelFile]

    @property
    def weights_bytes(self) -> int:
        return sum(file.size_bytes for name, file in self.files.items() if name.endswith(".safetensors"))


def model_dir(name: str) -> Path:
    return cache_dir() / "models" / name


def pull_model(model: CatalogModel, reporter: Reporter) -> Manifest:
    """Verify the source, convert it into the cache, and return its manifest; at once when that was done before."""
    place = model_dir(model.name)
    with _locked(place, reporter):
        for left in place.parent.glob(f".{model.name}.*.part"):
            shutil.rmtree(left)
        if place.exists():
            manifest = read_manifest(model)
            if manifest.source_sha256 == model.source.sha256:
                return manifest
            shutil.rmtree(place)
        source = source_file(model)
        part = Path(tempfile.mkdtemp(prefix=f".{model.name}.", suffix=".part", dir=place.parent))
        try:
            _convert(model, source, part, log=place.parent / f"{model.name}.log", reporter=reporter)
            manifest = _seal(model, part)
            part.rename(place)
            sync(place.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return manifest


def source_file(model: CatalogModel) -> Path:
    """The source's file with its hash checked; ServingError when it is missing, ModelChangedError when it differs."""
    source = model.source
    try:
        found = distribution(source.distribution)
    except PackageNotFoundError:
        raise ServingError(f"package {source.distribution} {source.version}, which carries {model.name}, is not installed: run `make venv`") from None
    path = Path(str(found.locate_file(source.file)))
    if not path.is_file():
        raise ServingError(f"{source.file} is missing from package {source.distribution} {found.version}: install {source.version}")
    if path.stat().st_size != source.size_bytes or sha256_file(path) != source.sha256:
        raise ModelChangedError(f"{path}: SHA-256 is not the catalog's {source.sha256[:16]}... of {source.distribution} {source.version}")
    return path


def read_manifest(model: CatalogModel) -> Manifest:
    """Of a pulled model; ServingError when there is none. Nothing is hashed: see `verify_model`."""
    path = model_dir(model.name) / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ServingError(f"model {model.name} is not on this machine: run `stackproof models pull {model.name}`") from None
    except ValidationError as error:
        raise ModelChangedError(f"{describe_validation(error, source=str(path))}: delete {path.parent} and pull again") from None


def verify_model(model: CatalogModel) -> Manifest:
    """Hash every file again and check the formats; ModelChangedError names the first file that is not as it was pulled."""
    manifest, place = read_manifest(model), model_dir(model.name)
    if manifest.model != model.name or manifest.source_sha256 != model.source.sha256:
        raise ModelChangedError(f"{place / MANIFEST}: made from another source than the catalog's: delete {place} and pull again")
    present = {str(path.relative_to(place)) for path in place.rglob("*") if not path.is_dir() or path.is_symlink()} - {MANIFEST}
    for name in sorted(present ^ set(manifest.files)):
        raise ModelChangedError(f"{place / name}: {'not in the manifest' if name in present else 'missing'}")
    for name, file in manifest.files.items():
        path = place / name
        if path.is_symlink() or path.stat().st_size != file.size_bytes or sha256_file(path) != file.sha256:
            raise ModelChangedError(f"{path}: content is not what was pulled: delete {place} and pull again")
    check_formats(place)
    return manifest


def check_formats(place: Path) -> None:
    """Only known file types, well-formed safetensors headers, and no `auto_map` (code chosen by a configuration)."""
    for path in sorted(place.iterdir()):
        if path.is_dir() or path.suffix not in SUFFIXES:
            raise ModelChangedError(f"{path}: not a kind of file a model may have ({', '.join(sorted(SUFFIXES))})")
        if path.suffix == ".safetensors":
            _check_safetensors(path)
        elif path.suffix == ".json":
            _check_json(path)


def _check_safetensors(path: Path) -> None:
    """Header length, JSON, and data offsets that tile the file exactly (github.com/huggingface/safetensors, Format)."""
    size = path.stat().st_size
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(HEADER_LIMIT_BYTES, size - 8):
                raise ValueError("header length")
            header = json.loads(stream.read(length))
        spans = sorted(tuple(tensor["data_offsets"]) for name, tensor in header.items() if name != "__metadata__")
        ends = [0, *(end for _, end in spans)]
        if [start for start, _ in spans] != ends[:-1] or ends[-1] != size - 8 - length:
            raise ValueError("offsets do not tile the file")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelChangedError(f"{path}: not a well-formed safetensors file ({error})") from None


def _check_json(path: Path) -> None:
    def refuse_code(found: dict[str, Any]) -> dict[str, Any]:
        if "auto_map" in found:
            raise ModelChangedError(f"{path}: names code to run (auto_map)")
        return found

    try:
        json.loads(path.read_bytes(), object_hook=refuse_code)
    except (ValueError, RecursionError) as error:
        raise ModelChangedError(f"{path}: not JSON ({error})") from None


def _convert(model: CatalogModel, source: Path, out: Path, *, log: Path, reporter: Reporter) -> None:
    command = [sys.executable, "-m", "stack.serving.convert", str(source), str(out), model.conversion.dtype.value]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DO_NOT_TRACK": "1"}
    log.unlink(missing_ok=True)
    with reporter.step(f"Converting {model.title} to {model.conversion.dtype.value}") as step:
        child = Child.start("model conversion", command, log=log, env=env)
        try:
            deadline = time.monotonic() + CONVERT_TIMEOUT_S
            while child.exit_status is None and time.monotonic() < deadline:
                step.tick()
                time.sleep(0.1)
            if child.exit_status != 0:
                what = "took too long" if child.exit_status is None else f"ended with status {child.exit_status}"
                raise ServingError(f"conversion of {model.name} {what}: {child.last_words()} (log: {log})")
        finally:
            child.stop()


def _seal(model: CatalogModel, folder: Path) -> Manifest:
    check_formats(folder)
    files = {}
    for path in sorted(folder.iterdir()):
        path.chmod(0o644)
        sync(path)
        files[path.name] = ModelFile(sha256=sha256_file(path), size_bytes=path.stat().st_size)
    tools = {name: version(name) for name in ("transformers", "torch", "gguf", "safetensors")}
    manifest = Manifest(model=model.name, source_sha256=model.source.sha256, tools=tools, files=files)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    sync(folder / MANIFEST)
    folder.chmod(0o755)
    return manifest


@contextmanager
def _locked(place: Path, reporter: Reporter) -> Iterator[None]:
    """One pull of a model at a time; the lock goes with the process."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f".{place.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            reporter.say(f"another process is pulling {place.name}: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
