"""Weights on this machine: what a pulled model consists of, and the check before every use (edge).

A pulled model is a folder of safetensors, configuration and tokenizer with `stackproof-manifest.json`,
which names every file with its SHA-256. `pull.py` and `bundle.py` make such folders; nothing else does.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from stack.evidence.record import Frozen
from stack.runtime.errors import describe_validation
from stack.runtime.files import sha256_file, sync
from stack.runtime.places import cache_dir
from stack.serving.errors import ModelChangedError, ServingError
from stack.serving.formats import check_formats
from stack.serving.models import SHA256_PATTERN, CatalogModel

MANIFEST = "stackproof-manifest.json"
Stamp = tuple[int, int, int, int]
"""Number of a file, its bytes, and the times of its last change of content and of anything."""


class ModelFile(Frozen):
    sha256: str = Field(pattern=SHA256_PATTERN)
    size_bytes: int = Field(ge=0)


class Manifest(Frozen):
    """What a pulled model consists of, and what it was made from and with."""

    model: str
    source: str = Field(default="", description="`package NAME VERSION`, `directory`, `oci://...@DIGEST` or `hf://...@COMMIT`; empty in old manifests: package")
    source_sha256: str = Field(pattern=SHA256_PATTERN, description="Of the package's file; else of the list of files that came (`listing_sha256`)")
    tools: dict[str, str] = Field(description="Version of each library that took part in a conversion")
    files: dict[str, ModelFile]

    @property
    def weights_bytes(self) -> int:
        return sum(file.size_bytes for name, file in self.files.items() if name.endswith(".safetensors"))

    @property
    def from_package(self) -> bool:
        return self.source == "" or self.source.startswith("package ")


def model_dir(name: str) -> Path:
    return cache_dir() / "models" / name


def signature_file(name: str) -> Path:
    """The signature lies beside the folder, which it covers whole."""
    return cache_dir() / "models" / f"{name}.sig"


def read_manifest(model: CatalogModel) -> Manifest:
    """Of a pulled model; ServingError when there is none. Nothing is hashed: see `verify_model`."""
    return read_manifest_of(model, model_dir(model.name))


def read_manifest_of(model: CatalogModel, place: Path) -> Manifest:
    path = place / MANIFEST
    try:
        return parse_manifest(path.read_bytes(), source=str(path))
    except FileNotFoundError:
        raise not_here(model.name) from None


def not_here(name: str) -> ServingError:
    return ServingError(f"model {name} is not on this machine: run `stackproof models pull {name}`")


def parse_manifest(data: bytes, *, source: str) -> Manifest:
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        raise ModelChangedError(f"{describe_validation(error, source=source)}: delete the folder and pull again") from None


def verify_model(model: CatalogModel) -> Manifest:
    """Hash every file again and check the formats; ModelChangedError names the first file that is not as it was pulled."""
    return _verify(model, model_dir(model.name))


def require_unchanged(model: CatalogModel, place: Path) -> None:
    """`verify_model` of a folder, unless this process has verified it and nothing was touched since: then an engine that died does not wait for
    hundreds of gigabytes to be hashed again. A file that is written, replaced or given another mode has another time of change (ctime), which
    its owner cannot set.
    """
    if _VERIFIED.get((model.name, place)) != _stamps(place):
        _verify(model, place)


_VERIFIED: dict[tuple[str, Path], dict[str, Stamp]] = {}
"""What folders looked like just before they were verified."""


def _verify(model: CatalogModel, place: Path) -> Manifest:
    before = _stamps(place)
    manifest = check_folder(read_manifest_of(model, place), place)
    check_model(model, manifest, place)
    _VERIFIED[model.name, place] = before
    return manifest


def _stamps(place: Path) -> dict[str, Stamp]:
    """Of every file and folder within, by name."""
    found = {}
    for path in (place, *place.rglob("*")):
        try:
            each = path.lstat()
        except OSError:  # gone meanwhile: it differs from what was verified
            continue
        found[str(path.relative_to(place))] = (each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns)
    return found


def check_folder(manifest: Manifest, place: Path) -> Manifest:
    """Every file of the manifest is there, unchanged and of an allowed format, and there is no other."""
    check_listing(manifest, place)
    for name, file in manifest.files.items():
        path = place / name
        if path.is_symlink() or path.stat().st_size != file.size_bytes or sha256_file(path) != file.sha256:
            raise ModelChangedError(f"{path}: content is not what was pulled: delete {place} and pull again")
    check_formats(place)
    return manifest


def check_listing(manifest: Manifest, place: Path) -> None:
    """The folder holds the files of the manifest and no other."""
    present = {str(path.relative_to(place)) for path in place.rglob("*") if not path.is_dir() or path.is_symlink()} - {MANIFEST}
    for name in sorted(present ^ set(manifest.files)):
        raise ModelChangedError(f"{place / name}: {'not in the manifest' if name in present else 'missing'}")


def check_model(model: CatalogModel, manifest: Manifest, place: Path) -> None:
    """That the folder is the catalog's model: its source, the checksums the catalog knows, and the shape its configuration states."""
    other_source = manifest.from_package and (model.source is None or manifest.source_sha256 != model.source.sha256)
    if manifest.model != model.name or other_source:
        raise ModelChangedError(f"{place / MANIFEST}: made from another source than the catalog's: delete {place} and pull again")
    if not manifest.from_package and model.weights is not None:
        for name, sha256 in model.weights.sha256.items():
            if name not in manifest.files or manifest.files[name].sha256 != sha256:
                raise ModelChangedError(f"{place / name}: SHA-256 is not the catalog's {sha256[:16]}...")
    config = place / "config.json"
    if not config.is_file():
        raise ModelChangedError(f"{config}: missing: a model needs its configuration")
    _check_shape(model, json.loads(config.read_bytes()), config)


def _check_shape(model: CatalogModel, config: Any, path: Path) -> None:
    shape = model.architecture
    text = config.get("text_config") if isinstance(config, dict) and isinstance(config.get("text_config"), dict) else config
    told = config if isinstance(config, dict) else {}
    expected = {"model_type": (told, shape.family), "num_hidden_layers": (text, shape.layers), "hidden_size": (text, shape.hidden_size)}
    for key, (part, value) in expected.items():
        if isinstance(part, dict) and key in part and part[key] != value:
            raise ModelChangedError(f"{path}: {key} is {part[key]!r}, the catalog's {model.name} has {value!r}: another model's files?")


def seal(model: CatalogModel, folder: Path, *, source: str, source_sha256: str | None = None, tools: dict[str, str]) -> Manifest:
    """Check a folder of files, hash them, and write the manifest into it; all is on the disk when this returns."""
    check_formats(folder)
    files = {}
    for path in sorted(folder.iterdir()):
        path.chmod(0o644)
        sync(path)
        files[path.name] = ModelFile(sha256=sha256_file(path), size_bytes=path.stat().st_size)
    manifest = Manifest(model=model.name, source=source, source_sha256=source_sha256 or listing_sha256(files), tools=tools, files=files)
    check_model(model, manifest, folder)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    sync(folder / MANIFEST)
    folder.chmod(0o755)
    return manifest


def listing_sha256(files: dict[str, ModelFile]) -> str:
    """SHA-256 of the lines that `sha256sum` would write of the files, in the order of their names."""
    return hashlib.sha256("".join(f"{files[name].sha256}  {name}\n" for name in sorted(files)).encode()).hexdigest()
