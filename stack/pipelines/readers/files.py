"""Find and open files, here or through fsspec (edge), and read them in chunks, so that no file is ever held whole."""

import glob
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from stack.pipelines.errors import PipelineError
from stack.pipelines.readers.models import Fault, Source

CHUNK = 1 << 20
GZIP_CHUNK = 1 << 14
"""Compressed bytes fed at once: what a broken stream takes with it."""
GZIP_MAGIC = b"\x1f\x8b"


def list_files(source: Source) -> list[str]:
    """Files of the source, sorted; hidden ones (`.x`, `_x`) inside a folder are left out. PipelineError when there are none."""
    try:
        found = _remote_files(source) if "://" in source.path else _local_files(source.path)
    except OSError as error:
        raise unreadable_file(source, source.path, error) from None
    if not found:
        raise PipelineError(f"source `{source.name}`: `path`: no file at {source.path}")
    return sorted(found)


def _local_files(path: str) -> list[str]:
    if os.path.isfile(path):  # noqa: PTH113 -- paths are text here, fsspec addresses among them
        return [path]
    if Path(path).is_dir():
        return [str(file) for file in Path(path).rglob("*") if file.is_file() and not _hidden(file.relative_to(path).as_posix())]
    return [file for file in glob.glob(path, recursive=True) if Path(file).is_file()]  # noqa: PTH207 -- absolute patterns


def _remote_files(source: Source) -> list[str]:
    files, path = _filesystem(source, source.path)
    scheme = source.path.split("://", 1)[0]
    if files.isfile(path):
        return [source.path]
    if files.isdir(path):
        inside = path.rstrip("/") + "/"
        return [f"{scheme}://{file.lstrip('/')}" for file in files.find(path) if not _hidden(file.removeprefix(inside))]
    return [f"{scheme}://{file.lstrip('/')}" for file in files.glob(path) if files.isfile(file)]


def _hidden(relative: str) -> bool:
    return any(part.startswith((".", "_")) for part in relative.split("/"))


def _filesystem(source: Source, address: str) -> tuple[Any, str]:
    fsspec = require("fsspec", source)
    try:
        files, path = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise PipelineError(f"source `{source.name}`: `path`: {address.split('://', 1)[0]}:// cannot be opened: {' '.join(str(error).split())}") from None
    return files, path


def require(package: str, source: Source) -> Any:
    """An optional package, or one line that says how to get it."""
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError:
        raise PipelineError(f"source `{source.name}`: reading it needs {package}: pip install 'stackproof[stack]'") from None


@contextmanager
def open_file(source: Source, path: str) -> Iterator[IO[bytes]]:
    """The file's bytes, seekable. PipelineError when it cannot be opened or read."""
    try:
        if "://" in path:
            files, inside = _filesystem(source, path)
            with files.open(inside, "rb") as stream:
                yield stream
        else:
            with open(path, "rb") as stream:  # noqa: PTH123
                yield stream
    except OSError as error:
        raise unreadable_file(source, path, error) from None


def unreadable_file(source: Source, path: str, error: OSError) -> PipelineError:
    return PipelineError(f"source `{source.name}`: {path} cannot be read: {error.strerror or error}")


def chunks(stream: IO[bytes], *, gzipped: bool, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """The bytes from `start` to `end`, decompressed. Fault `unreadable` where a compressed stream breaks."""
    position = 0 if gzipped else start
    for chunk in _gunzip(stream) if gzipped else _plain(stream, start):
        begin = max(0, start - position)
        stop = len(chunk) if end is None else min(len(chunk), end - position)
        if begin < stop:
            yield chunk if stop - begin == len(chunk) else chunk[begin:stop]
        position += len(chunk)
        if end is not None and position >= end:
            return


def _plain(stream: IO[bytes], start: int) -> Iterator[bytes]:
    stream.seek(start)
    while chunk := stream.read(CHUNK):
        yield chunk


def _gunzip(stream: IO[bytes]) -> Iterator[bytes]:
    """Members one after the other. Always from the first byte in the same steps, so that a fault takes the same bytes each time."""
    stream.seek(0)
    inflate, fresh, data = zlib.decompressobj(31), True, b""
    while True:
        data = data or stream.read(GZIP_CHUNK)
        if not data:
            break
        if fresh and not (data := data.lstrip(b"\0")):  # padding between members
            continue
        try:
            out, fresh = inflate.decompress(data, CHUNK), False
        except zlib.error as error:
            raise Fault("unreadable", f"broken gzip stream: {error}") from None
        if out:
            yield out
        data = inflate.unconsumed_tail
        if inflate.eof:
            data, inflate, fresh = inflate.unused_data, zlib.decompressobj(31), True
    if not fresh:
        raise Fault("unreadable", "the gzip stream ends early")
