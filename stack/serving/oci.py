"""Model files from an OCI registry: the pull half of the distribution API over HTTPS, with token authentication (edge).

An artifact as ORAS writes them: each layer is one file, its name in the annotation `org.opencontainers.image.title`. By digest only.
(github.com/opencontainers/distribution-spec, "Pull"; distribution.github.io, "Token Authentication".)
"""

import base64
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stack.runtime.progress import Reporter
from stack.serving.download import RemoteFile, download, get_json, new_client
from stack.serving.errors import ModelChangedError, ServingError
from stack.serving.formats import is_allowed
from stack.serving.sources import OciSource

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
TITLE = "org.opencontainers.image.title"
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})


class _Layer(BaseModel):
    model_config = ConfigDict(frozen=True)
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    size: int = Field(ge=0)
    annotations: dict[str, str] = {}


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True)
    layers: tuple[_Layer, ...]


def pull_artifact(source: OciSource, into: Path, reporter: Reporter) -> None:
    """Fetch every layer as the file it names. Plain HTTP is spoken to loopback only."""
    base = f"{_scheme(source.host)}://{source.host}/v2/{source.repository}"
    with new_client() as client:
        headers = _authorize(client, base, source)
        document, body = get_json(
            client, f"{base}/manifests/{source.digest}", headers=headers | {"Accept": MANIFEST_TYPE}, refused=lambda a: _refused(a, source)
        )
        if f"sha256:{hashlib.sha256(body).hexdigest()}" != source.digest:
            raise ModelChangedError(f"{source.label}: the registry answers with a manifest of another digest")
        files = [_file(layer, base, headers, source) for layer in _layers(document, source)]
        if len({file.name for file in files}) != len(files):
            raise ModelChangedError(f"{source.label}: two layers carry the same file name")
        for left in {path.name for path in into.iterdir()} - {name for file in files for name in (file.name, f"{file.name}.part")}:
            (into / left).unlink()
        with reporter.step(f"Fetching {len(files)} files from {source.host}", total=sum(file.size_bytes for file in files)) as step:
            for file in files:
                download(client, file, into, step, refused=lambda a: _refused(a, source))


def _layers(document: Any, source: OciSource) -> tuple[_Layer, ...]:
    try:
        return _Manifest.model_validate(document).layers
    except ValidationError:
        raise ServingError(f"{source.label}: not an image manifest with layers: name the digest of the artifact itself, not of an index") from None


def _file(layer: _Layer, base: str, headers: dict[str, str], source: OciSource) -> RemoteFile:
    name = layer.annotations.get(TITLE)
    if name is None:
        raise ServingError(f"{source.label}: a layer names no file ({TITLE}): push the files with `oras push`; container images are not unpacked")
    if not is_allowed(name):
        raise ModelChangedError(f"{source.label}: layer {name[:80]!r} is not a kind of file a model may have")
    return RemoteFile(name=name, url=f"{base}/blobs/{layer.digest}", size_bytes=layer.size, sha256=layer.digest.removeprefix("sha256:"), headers=headers)


def _authorize(client: httpx.Client, base: str, source: OciSource) -> dict[str, str]:
    """The header that the registry wants: none, the stored user and password, or a token bought with them."""
    url = f"{base}/manifests/{source.digest}"
    try:
        answer = client.head(url, headers={"Accept": MANIFEST_TYPE})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServingError(f"{source.host}: cannot be reached: {' '.join(str(error).split())}") from None
    if answer.status_code != httpx.codes.UNAUTHORIZED:
        return {}
    challenge = answer.headers.get("www-authenticate", "")
    basic = _stored_login(source.host)
    if challenge.lower().startswith("basic"):
        return basic
    asked = dict(CHALLENGE.findall(challenge))
    realm = urlsplit(asked.get("realm", ""))
    if realm.scheme != "https" and not (realm.scheme == "http" and realm.hostname in {"localhost", "127.0.0.1", "::1"}):
        raise ServingError(f"{source.host}: asks for a token from a place that is not HTTPS: not sent")
    query = {"service": asked.get("service", ""), "scope": asked.get("scope", f"repository:{source.repository}:pull")}
    document, _ = get_json(client, str(httpx.URL(asked["realm"], params=query)), headers=basic, refused=lambda a: _refused(a, source))
    token = (document.get("token") or document.get("access_token")) if isinstance(document, dict) else None
    if not isinstance(token, str):
        raise ServingError(f"{source.host}: its token service answers without a token")
    return {"Authorization": f"Bearer {token}"}


def _stored_login(host: str) -> dict[str, str]:
    """User and password that `podman login` or `docker login` left for this host; nothing when there are none."""
    docker = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker")) / "config.json"
    path = Path(os.environ.get("REGISTRY_AUTH_FILE", docker))
    try:
        stored = json.loads(path.read_bytes())["auths"][host]["auth"]
        base64.b64decode(stored, validate=True)
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {"Authorization": f"Basic {stored}"}


def _refused(answer: httpx.Response, source: OciSource) -> str:
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return f"{source.host}: refuses {source.repository} ({answer.status_code}): log in with `podman login {source.host}`"
    if answer.status_code == httpx.codes.NOT_FOUND:
        return f"{source.host}: has no {source.repository}@{source.digest[:19]}..."
    return f"{source.host}: answers {answer.status_code}"


def _scheme(host: str) -> str:
    return "http" if re.sub(r":\d+$", "", host) in LOOPBACK_HOSTS else "https"
