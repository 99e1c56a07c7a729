"""One file over HTTP: resumed where it broke off, checked against its size and hash, and there whole or not at all (edge)."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from stack.runtime.files import CHUNK, sync
from stack.runtime.progress import Step
from stack.serving.errors import ModelChangedError, ServingError

TRIES = 5
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
FINAL_STATUS = frozenset({400, 401, 403, 404, 410, 416})
"""What asking again will not change."""


@dataclass(frozen=True)
class RemoteFile:
    """What the source says of a file. `git_blob` is git's SHA-1 of small files on the hub; with neither hash only the size is checked."""

    name: str
    url: str
    size_bytes: int
    sha256: str | None = None
    git_blob: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


def new_client() -> httpx.Client:
    """Follows redirects (registries and hubs hand files over to other hosts; httpx drops the key on the way)."""
    return httpx.Client(timeout=TIMEOUT, follow_redirects=True, max_redirects=5)


def download(client: httpx.Client, file: RemoteFile, into: Path, step: Step, *, refused: Callable[[httpx.Response], str], pause_s: float = 1.0) -> None:
    """Fetch `file` into the folder; ServingError in one line when it cannot be had, ModelChangedError when it is another file.

    `refused` words an answer of 4xx for people. What came before a broken connection stays as NAME.part and is gone on from there.
    """
    target, part = into / file.name, into / f"{file.name}.part"
    if target.is_file() and _matches(target, file):
        step.advance(file.size_bytes)
        return
    for attempt in range(TRIES):
        try:
            _fetch(client, file, part, step, refused)
            break
        except httpx.TransportError as error:
            if attempt == TRIES - 1:
                raise ServingError(f"{file.url}: {_why(error)} ({TRIES} tries; the next pull goes on where this one stopped)") from None
            time.sleep(pause_s * 2**attempt)
    if not _matches(part, file):
        part.unlink()
        raise ModelChangedError(f"{file.url}: size or hash is not the one the source stated for {file.name}")
    sync(part)
    part.rename(target)


def get_json(
    client: httpx.Client, url: str, *, headers: dict[str, str], refused: Callable[[httpx.Response], str], limit_bytes: int = 16 << 20
) -> tuple[Any, bytes]:
    """A JSON answer and its bytes; ServingError in one line for whatever else comes."""
    try:
        with client.stream("GET", url, headers=headers) as answer:
            if answer.status_code != httpx.codes.OK:
                raise ServingError(refused(answer))
            body = bytearray()
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > limit_bytes:
                    raise ServingError(f"{url}: answers with more than {limit_bytes >> 20} MiB")
    except httpx.HTTPError as error:
        raise ServingError(f"{url}: {_why(error)}") from None
    except httpx.InvalidURL as error:
        raise ServingError(f"{url}: {error}") from None
    try:
        return json.loads(bytes(body)), bytes(body)
    except (ValueError, RecursionError):
        raise ServingError(f"{url}: answers with something that is not JSON") from None


def _fetch(client: httpx.Client, file: RemoteFile, part: Path, step: Step, refused: Callable[[httpx.Response], str]) -> None:
    have = part.stat().st_size if part.is_file() else 0
    if have >= file.size_bytes:
        part.unlink(missing_ok=True)
        have = 0
    headers = {"Accept-Encoding": "identity"} | file.headers | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", file.url, headers=headers) as answer:
        if answer.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            if answer.status_code in FINAL_STATUS:
                raise ServingError(refused(answer))
            raise httpx.ReadError(f"answered {answer.status_code}")
        resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT and answer.headers.get("content-range", "").startswith(f"bytes {have}-")
        written = have if resumed else 0
        with part.open("ab" if resumed else "wb") as out:
            for piece in answer.iter_raw():  # as it comes: what came before a break is kept
                written += len(piece)
                if written > file.size_bytes:
                    raise ModelChangedError(f"{file.url}: longer than the {file.size_bytes} bytes the source stated")
                out.write(piece)
                step.advance(len(piece))
    if written < file.size_bytes:
        raise httpx.ReadError(f"ended after {written} of {file.size_bytes} bytes")


def _matches(path: Path, file: RemoteFile) -> bool:
    if path.stat().st_size != file.size_bytes:
        return False
    sha256, git_blob = hashlib.sha256(), hashlib.sha1(f"blob {file.size_bytes}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            sha256.update(piece)
            if file.git_blob is not None:
                git_blob.update(piece)
    return file.sha256 in (None, sha256.hexdigest()) and file.git_blob in (None, git_blob.hexdigest())


def _why(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
