"""Model files from the Hugging Face hub, only when a person names it: two calls of its HTTP API (edge).

Large files come with their SHA-256, small ones with git's own hash of them; both are checked. `HF_ENDPOINT` names a mirror, `HF_TOKEN`
holds the key for gated repositories (the variables of the hub's own client).
"""

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from stack.runtime.progress import Reporter
from stack.serving.download import RemoteFile, download, get_json, new_client
from stack.serving.errors import ServingError
from stack.serving.formats import is_allowed
from stack.serving.sources import HubSource

COMMIT = re.compile(r"[0-9a-f]{40}")


def resolve_revision(source: HubSource) -> HubSource:
    """The same source at a commit; a branch or tag is looked up."""
    if COMMIT.fullmatch(source.revision):
        return source
    with new_client() as client:
        url = f"{_endpoint()}/api/models/{source.repository}/revision/{quote(source.revision, safe='')}"
        document, _ = get_json(client, url, headers=_headers(), refused=lambda a: _refused(a, source))
    commit = document.get("sha") if isinstance(document, dict) else None
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
        raise ServingError(f"{source.label}: the hub does not say which commit this is")
    return HubSource(repository=source.repository, revision=commit)


def pull_repository(source: HubSource, into: Path, reporter: Reporter) -> None:
    """Fetch the files of the repository's top folder that a model may consist of; pickles, code and subfolders stay where they are."""
    headers = _headers()
    with new_client() as client:
        url = f"{_endpoint()}/api/models/{source.repository}/tree/{source.revision}"
        document, _ = get_json(client, url, headers=headers, refused=lambda a: _refused(a, source))
        files = _files(document, source, headers)
        for left in {path.name for path in into.iterdir()} - {name for file in files for name in (file.name, f"{file.name}.part")}:
            (into / left).unlink()
        with reporter.step(f"Fetching {len(files)} files of {source.repository}", total=sum(file.size_bytes for file in files)) as step:
            for file in files:
                download(client, file, into, step, refused=lambda a: _refused(a, source))


def _files(document: Any, source: HubSource, headers: dict[str, str]) -> list[RemoteFile]:
    files = []
    for entry in document if isinstance(document, list) else ():
        if not isinstance(entry, dict) or entry.get("type") != "file":
            continue
        name = entry.get("path")
        if not isinstance(name, str) or not is_allowed(name):
            continue
        large = entry.get("lfs") if isinstance(entry.get("lfs"), dict) else None
        size, oid = (large or entry).get("size"), (large or entry).get("oid")
        if not isinstance(size, int) or not isinstance(oid, str):
            raise ServingError(f"{source.label}: the hub lists {name} without its size or hash")
        url = f"{_endpoint()}/{source.repository}/resolve/{source.revision}/{quote(name)}"
        sha256, git_blob = (oid.removeprefix("sha256:"), None) if large else (None, oid)
        files.append(RemoteFile(name=name, url=url, size_bytes=size, sha256=sha256, git_blob=git_blob, headers=headers))
    if not any(file.name.endswith(".safetensors") for file in files):
        raise ServingError(f"{source.label}: has no .safetensors file in its top folder")
    return files


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _headers() -> dict[str, str]:
    token = os.environ.get("HF_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _refused(answer: httpx.Response, source: HubSource) -> str:
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        key = "the key in HF_TOKEN has no access" if os.environ.get("HF_TOKEN") else "set HF_TOKEN"
        return f"{source.label}: the hub refuses it ({answer.status_code}): gated or private: accept its terms on its page, and {key}"
    if answer.status_code == httpx.codes.NOT_FOUND:
        return f"{source.label}: the hub has no such repository, revision or file"
    return f"{source.label}: the hub answers {answer.status_code}"
