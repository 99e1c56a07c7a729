"""Bring a model onto this machine: fetch or convert in a folder beside its place, check all of it, then one rename (edge)."""

import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import IO

from stack.runtime.files import sha256_file, sync
from stack.runtime.process import Child
from stack.runtime.progress import Reporter
from stack.serving.errors import ModelChangedError, ServingError
from stack.serving.hub import pull_repository, resolve_revision
from stack.serving.models import CatalogModel, PackageSource
from stack.serving.oci import pull_artifact
from stack.serving.sources import HubSource, OciSource, Source, copy_directory
from stack.serving.weights import Manifest, model_dir, read_manifest, seal, signature_file

CONVERT_TIMEOUT_S = 900.0


def pull_model(model: CatalogModel, reporter: Reporter, source: Source | None = None) -> Manifest:
    """The model from `source`, or from the package that carries it; its manifest, at once when it is already here.

    A pull that was broken off goes on where it stopped. StackproofError in one line, and no folder, when anything does not hold; of what failed
    only files that a next pull from there can use stay, in a hidden folder beside.
    """
    if isinstance(source, HubSource):
        source = _pinned(model, source)
    elif source is None and model.source is None and not model_dir(model.name).exists():
        raise _no_package(model)  # before the lock, and before what came of it from elsewhere is swept away
    try:
        return _pull(model, reporter, source)
    except OSError as error:
        raise ServingError(f"{error.filename or model_dir(model.name)}: {error.strerror}") from None


def _pull(model: CatalogModel, reporter: Reporter, source: Source | None) -> Manifest:
    place = model_dir(model.name)
    with locked(model.name, reporter):
        if place.exists() and (here := _already(model, read_manifest(model), source)):
            return here
        origin = "package" if source is None else f"{source.label} {getattr(source, 'path', '')}"
        part = place.parent / f".{model.name}.{hashlib.sha256(origin.encode()).hexdigest()[:12]}.part"
        for left in set(place.parent.glob(f".{model.name}.*.part")) - ({part} if source is not None else set()):
            shutil.rmtree(left)
        part.mkdir(exist_ok=True)
        try:
            manifest = _from_package(model, part, reporter) if source is None else _from_source(model, source, part, reporter)
        except ModelChangedError:
            shutil.rmtree(part)  # not what it should be: nothing of it is worth going on with
            raise
        finally:
            with suppress(OSError):  # one that holds something: the next pull goes on from there
                part.rmdir()
        appear(part, place)
        signature_file(model.name).unlink(missing_ok=True)
        return manifest


def appear(part: Path, place: Path) -> None:
    """Give a finished folder its name; the one that was there before goes away."""
    if place.exists():
        old = part.with_name(f"{part.name}.old")
        place.rename(old)
        part.rename(place)
        shutil.rmtree(old)
    else:
        part.rename(place)
    sync(place.parent)


@contextmanager
def locked(name: str, reporter: Reporter) -> Iterator[None]:
    """One change of a model's folder at a time; the lock goes with the process, and its file with the block."""
    place = model_dir(name)
    place.parent.mkdir(parents=True, exist_ok=True)
    path = place.parent / f".{name}.lock"
    while True:
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                reporter.say(f"another process is pulling {name}: waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_at(path, lock):
                continue  # who had it has taken its file away: the name may be another's lock by now
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _is_at(path: Path, file: IO[str]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def source_file(model: CatalogModel, source: PackageSource) -> Path:
    """The package's file with its hash checked; ServingError when it is missing, ModelChangedError when it differs."""
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


def _already(model: CatalogModel, manifest: Manifest, source: Source | None) -> Manifest | None:
    """What is here, when it is what was asked for. A directory may have changed since: it is always read anew."""
    if source is None:
        stale = manifest.from_package and model.source is not None and manifest.source_sha256 != model.source.sha256
        return None if stale else manifest
    return manifest if isinstance(source, OciSource | HubSource) and manifest.source == source.label else None


def _pinned(model: CatalogModel, source: HubSource) -> HubSource:
    """The hub's source at a commit, when it is the repository, and the revision if any, that the catalog names."""
    known = model.weights
    if known is None or known.repository is None or known.repository.lower() != source.repository.lower():
        raise ServingError(f"--from: {source.label} is not the catalog's repository of {model.name} ({known.repository if known else 'none'})")
    source = resolve_revision(source)
    if known.revision is not None and known.revision != source.revision:
        raise ServingError(f"--from: the catalog knows {model.name} at {known.revision}, not at {source.revision}")
    return source


def _from_source(model: CatalogModel, source: Source, part: Path, reporter: Reporter) -> Manifest:
    if isinstance(source, OciSource):
        pull_artifact(source, part, reporter)
    elif isinstance(source, HubSource):
        pull_repository(source, part, reporter)
    else:
        copy_directory(source, part, reporter)
    return seal(model, part, source=source.label, tools={})


def _from_package(model: CatalogModel, part: Path, reporter: Reporter) -> Manifest:
    if model.source is None:
        raise _no_package(model)
    try:
        source = source_file(model, model.source)
        _convert(model, source, part, log=part.parent / f"{model.name}.log", reporter=reporter)
    except BaseException:
        shutil.rmtree(part)
        raise
    tools = {name: version(name) for name in ("transformers", "torch", "gguf", "safetensors")}
    label = f"package {model.source.distribution} {model.source.version}"
    return seal(model, part, source=label, source_sha256=model.source.sha256, tools=tools)


def _no_package(model: CatalogModel) -> ServingError:
    hub = f", or --from hf://{model.weights.repository}@COMMIT" if model.weights and model.weights.repository else ""
    return ServingError(f"no package carries {model.name}: name its weights with --from DIR, --from oci://HOST/REPOSITORY@sha256:DIGEST{hub}")


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
