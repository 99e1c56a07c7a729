"""Models in one file for the other side of an air gap: `write_bundle` here, `load_bundle` there (edge).

First comes `bundle.json`, which lists every further member with size and SHA-256; a loader can therefore check each byte as it arrives,
in one pass, with the space needed known beforehand. Equal models give equal bytes. `tar -tf` reads it.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from stack.runtime.errors import describe_validation
from stack.runtime.files import CHUNK, atomic_path, sync
from stack.runtime.progress import Reporter, Step
from stack.runtime.writable import require_file
from stack.serving.bundle_index import ENTRY, INDEX, LICENCE, SIGNATURE, SUMS, BundledModel, Index, Member
from stack.serving.errors import ModelChangedError, ServingError
from stack.serving.formats import check_formats, is_allowed
from stack.serving.models import CatalogModel, find_model
from stack.serving.pull import appear, locked
from stack.serving.signing import verify_folder
from stack.serving.tar_stream import BLOCK, END, expect, header, padding, read_first_size
from stack.serving.weights import MANIFEST, check_listing, check_model, model_dir, parse_manifest, read_manifest, signature_file

INDEX_LIMIT_BYTES = 16 << 20
SPARE_BYTES = 64 << 20
"""Room that must stay free on the disk beside what a bundle unpacks to."""


@dataclass(frozen=True)
class Loaded:
    """A model that came out of a bundle."""

    name: str
    signature_checked: bool
    same_entry: bool


def write_bundle(models: list[CatalogModel], out: Path, reporter: Reporter) -> Index:
    """All of the models in one file. ModelChangedError names a file that is not as it was pulled, StackproofError what cannot be read or written:
    then there is no bundle, and what lay at `out` is as it was.
    """
    if len({model.name for model in models}) != len(models):
        raise ServingError("bundle: a model is named twice")
    require_file(out, option="--out")
    for model in models:
        _check_before(model)
    content = {f"{model.name}/{name}": data for model in models for name, data in _about(model).items()}
    index = Index(models=tuple(_describe(model) for model in sorted(models, key=lambda model: model.name)))
    try:
        _write(index, content, out, reporter)
    except OSError as error:
        raise ServingError(f"{error.filename or out}: {error.strerror}") from None
    return index


def _write(index: Index, content: dict[str, bytes], out: Path, reporter: Reporter) -> None:
    with atomic_path(out) as temporary, temporary.open("wb") as tar, reporter.step("Writing the bundle", total=index.total_bytes) as step:
        for name, data in ((INDEX, index.model_dump_json(indent=1).encode() + b"\n"), (SUMS, index.sums())):
            tar.write(header(name, len(data)) + data + padding(len(data)))
        for path, member in index.members():
            tar.write(header(path, member.size_bytes))
            source = None if path in content else model_dir(path.partition("/")[0]) / member.name
            pieces = _pieces(source) if source is not None else iter((content[path],))
            _check_while(pieces, member, tar.write, step, name=str(source or path))
            tar.write(padding(member.size_bytes))
        tar.write(END)


def load_bundle(path: Path, reporter: Reporter, key: Path | None = None) -> list[Loaded]:
    """Check everything in a bundle, then let its models appear; StackproofError in one line, and nothing appears, when anything is wrong.

    A signed bundle needs the public `key` of its signer, and with a key an unsigned one is refused.
    """
    place = model_dir("any").parent
    place.mkdir(parents=True, exist_ok=True)
    for left in place.glob(".bundle-*.part"):
        shutil.rmtree(left)
    staging = Path(tempfile.mkdtemp(prefix=".bundle-", suffix=".part", dir=place))
    try:
        with path.open("rb") as stream:
            index = _read_index(stream, str(path))
            _check_signed(index, key)
            _unpack(stream, index, staging, reporter, name=str(path))
        loaded = [_check(model, staging / model.name, key) for model in index.models]
        for model in index.models:
            with locked(model.name, reporter):
                appear(staging / model.name / "files", model_dir(model.name))
                signature_file(model.name).unlink(missing_ok=True)
                if model.signed:
                    (staging / model.name / SIGNATURE).rename(signature_file(model.name))
        return loaded
    except OSError as error:
        raise ServingError(f"{error.filename or path}: {error.strerror}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _check_signed(index: Index, key: Path | None) -> None:
    """Before the long part: a key for what is signed, and nothing unsigned for a key."""
    for model in index.models:
        find_model(model.name)
        if model.signed and key is None:
            raise ServingError(f"{model.name} is signed: name its signer's public key with --key FILE")
        if key is not None and not model.signed:
            raise ModelChangedError(f"{model.name}: the bundle carries no signature, and --key asks for one")


def _unpack(stream: BinaryIO, index: Index, staging: Path, reporter: Reporter, *, name: str) -> None:
    """Every member into the staging folder, its hash checked as it comes."""
    try:
        if index.total_bytes + SPARE_BYTES > shutil.disk_usage(staging).free:
            raise ServingError(f"{name}: unpacks to {index.total_bytes / 1e9:.1f} GB, more than is free in {staging.parent}")
        sums = index.sums()
        expect(stream, header(SUMS, len(sums)) + sums + padding(len(sums)), SUMS)
        with reporter.step("Checking the bundle", total=index.total_bytes) as step:
            for path, member in index.members():
                expect(stream, header(path, member.size_bytes), path)
                model, _, rest = path.partition("/")
                target = staging / model / rest
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as out:
                    _check_while(_limited(stream, member.size_bytes), member, out.write, step, name=f"{name}: {path}")
                sync(target)
                expect(stream, padding(member.size_bytes), path)
        expect(stream, END, "the end")
        if stream.read(1):
            raise ValueError("something follows its end")
    except ValueError as error:
        raise ModelChangedError(f"{name}: not a whole bundle: {error}") from None


def _read_index(stream: BinaryIO, name: str) -> Index:
    try:
        size = read_first_size(stream.read(BLOCK), INDEX)
        if size > INDEX_LIMIT_BYTES:
            raise ValueError(f"{INDEX} of {size} bytes")
        data = stream.read(size)
        expect(stream, padding(size), INDEX)
    except ValueError as error:
        raise ModelChangedError(f"{name}: not a whole bundle: {error}") from None
    try:
        index = Index.model_validate_json(data)
    except ValidationError as error:
        raise ModelChangedError(describe_validation(error, source=f"{name}: {INDEX}")) from None
    for model in index.models:
        if unknown := [member.name for member in model.about if member.name not in (ENTRY, LICENCE, SIGNATURE)]:
            raise ModelChangedError(f"{name}: {model.name}/{unknown[0]}: not a part of a bundle")
        if unknown := [member.name for member in model.files if not is_allowed(member.name)]:
            raise ModelChangedError(f"{name}: {model.name}/files/{unknown[0]}: not a kind of file a model may have")
    return index


def _check(bundled: BundledModel, folder: Path, key: Path | None) -> Loaded:
    """The model itself: known here, whole by its own manifest, of safe formats, and signed by the key's holder."""
    model, files = find_model(bundled.name), folder / "files"
    manifest_path = files / MANIFEST
    if not manifest_path.is_file():
        raise ModelChangedError(f"{bundled.name}/files/{MANIFEST}: missing from the bundle")
    manifest = parse_manifest(manifest_path.read_bytes(), source=f"{bundled.name}/files/{MANIFEST}")
    check_listing(manifest, files)
    for member in bundled.files:  # the files have the index's hashes: the manifest must state the same
        if member.name != MANIFEST and manifest.files[member.name].sha256 != member.sha256:
            raise ModelChangedError(f"{bundled.name}/files/{member.name}: its manifest and the bundle's index disagree")
    check_formats(files)
    check_model(model, manifest, files)
    if key is not None:
        verify_folder(files, folder / SIGNATURE, key)
    entry = folder / ENTRY
    return Loaded(name=bundled.name, signature_checked=key is not None, same_entry=entry.is_file() and entry.read_bytes() == _entry(model))


def _check_before(model: CatalogModel) -> None:
    """All but the hashes, which are checked while the files are written."""
    manifest, place = read_manifest(model), model_dir(model.name)
    check_listing(manifest, place)
    check_formats(place)
    check_model(model, manifest, place)


def _describe(model: CatalogModel) -> BundledModel:
    place = model_dir(model.name)
    about = tuple(_member(name, data) for name, data in sorted(_about(model).items()))
    manifest = (place / MANIFEST).read_bytes()
    files = [Member(name=name, size_bytes=file.size_bytes, sha256=file.sha256) for name, file in read_manifest(model).files.items()]
    return BundledModel(name=model.name, about=about, files=tuple(sorted([*files, _member(MANIFEST, manifest)], key=lambda member: member.name)))


def _about(model: CatalogModel) -> dict[str, bytes]:
    signature = signature_file(model.name)
    return {ENTRY: _entry(model), LICENCE: _licence_note(model).encode()} | ({SIGNATURE: signature.read_bytes()} if signature.is_file() else {})


def _entry(model: CatalogModel) -> bytes:
    return model.model_dump_json(indent=2).encode() + b"\n"


def _licence_note(model: CatalogModel) -> str:
    lines = [f"{model.title}, published by {model.publisher.name} ({model.publisher.country or 'country unknown'})"]
    lines += [f"Licence: {model.licence.spdx or 'own terms'}", f"Text: {model.licence.url or 'not known'}", model.licence.notes]
    return "\n".join(line for line in lines if line) + "\n"


def _member(name: str, data: bytes) -> Member:
    return Member(name=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _check_while(pieces: Iterable[bytes], member: Member, write: Callable[[bytes], int], step: Step, *, name: str) -> None:
    """Hand the pieces on; ModelChangedError when together they are not the member's size and hash."""
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
        write(piece)
        step.advance(len(piece))
    if size != member.size_bytes or digest.hexdigest() != member.sha256:
        raise ModelChangedError(f"{name}: content is not what its hash says")


def _pieces(path: Path) -> Iterable[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            yield piece


def _limited(stream: BinaryIO, size: int) -> Iterable[bytes]:
    while size and (piece := stream.read(min(CHUNK, size))):
        size -= len(piece)
        yield piece
