"""Pulls over HTTP from a registry and a hub that this test serves on loopback."""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
from small_model import MODEL, WEIGHTS, write_model

from stack.runtime.net import free_port
from stack.runtime.progress import Reporter
from stack.serving import download
from stack.serving.errors import ModelChangedError, ServingError
from stack.serving.pull import pull_model
from stack.serving.sources import DirectorySource, HubSource, OciSource
from stack.serving.weights import model_dir, verify_model

QUIET = Reporter(StringIO())
COMMIT = "c" * 40
REPOSITORY = "meta-llama/Llama-3.1-8B-Instruct"
LOGIN = base64.b64encode(b"reader:word").decode()
BLOBS = f"/v2/models/small/blobs/sha256:{hashlib.sha256(WEIGHTS).hexdigest()}"
WEIGHTS_URL = f"/{REPOSITORY}/resolve/{COMMIT}/model.safetensors"


@dataclass
class Remote:
    """What the server answers: `pages` by path, how often it breaks off after `break_at` bytes, and what it was asked."""

    url: str = ""
    pages: dict[str, bytes] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    breaks: dict[str, int] = field(default_factory=dict)
    break_at: int = 30_000
    ranges: bool = True
    token: str = ""
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    def start_of(self, wanted: str | None) -> int:
        return int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0


class Handler(BaseHTTPRequestHandler):
    remote: Remote

    def do_HEAD(self) -> None:
        self.do_GET(send=False)

    def do_GET(self, send: bool = True) -> None:
        path, wanted, key = urlsplit(self.path).path, self.headers.get("Range"), self.headers.get("Authorization")
        self.remote.asked.append((self.path, wanted, key))
        if path == "/token":
            self.answer(200 if key == f"Basic {LOGIN}" else 401, json.dumps({"token": self.remote.token}).encode(), send)
        elif self.remote.token and key != f"Bearer {self.remote.token}":
            challenge = f'Bearer realm="{self.remote.url}/token",service="registry",scope="repository:models/small:pull"'
            self.answer(401, b"", send, **{"WWW-Authenticate": challenge})
        elif path not in self.remote.pages or path in self.remote.status:
            self.answer(self.remote.status.get(path, 404), b"", send)
        else:
            self.hand_over(path, self.remote.start_of(wanted), send)

    def hand_over(self, path: str, start: int, send: bool) -> None:
        data, breaks = self.remote.pages[path], self.remote.breaks.get(path, 0)
        part = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        self.remote.breaks[path] = breaks - send
        sent = data[start : start + self.remote.break_at] if breaks > 0 else data[start:]
        self.answer(206 if start else 200, sent, send, **{"Content-Length": str(len(data) - start), **part})

    def answer(self, status: int, body: bytes, send: bool, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if send:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    monkeypatch.setenv("STACKPROOF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    found = Remote()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Server", (Handler,), {"remote": found}))
    found.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", found.url)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def push(remote: Remote, folder: Path, extra: list[dict[str, object]] | None = None) -> OciSource:
    """The files as an artifact in the way ORAS writes them."""
    layers: list[dict[str, object]] = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        digest = f"sha256:{sha256(data)}"
        remote.pages[f"/v2/models/small/blobs/{digest}"] = data
        title = {"org.opencontainers.image.title": path.name}
        layers.append({"mediaType": "application/octet-stream", "digest": digest, "size": len(data), "annotations": title})
    manifest = json.dumps({"schemaVersion": 2, "layers": [*layers, *(extra or [])]}).encode()
    remote.pages[f"/v2/models/small/manifests/sha256:{sha256(manifest)}"] = manifest
    return OciSource(remote.host, "models/small", f"sha256:{sha256(manifest)}")


def publish(remote: Remote, folder: Path) -> HubSource:
    """The files as a repository on the hub: large ones with SHA-256, small ones with git's hash, some that nobody wants."""
    unwanted = ("pytorch_model.bin", "modeling_x.py", ".gitattributes")
    entries: list[dict[str, object]] = [{"type": "file", "path": name, "size": 3, "oid": "0" * 40} for name in unwanted]
    entries.append({"type": "directory", "path": "original", "size": 0, "oid": "0" * 40})
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        git = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
        large = {"lfs": {"oid": sha256(data), "size": len(data)}} if path.suffix == ".safetensors" else {}
        entries.append({"type": "file", "path": path.name, "size": len(data), "oid": git, **large})
        remote.pages[f"/{REPOSITORY}/resolve/{COMMIT}/{path.name}"] = data
    remote.pages[f"/api/models/{REPOSITORY}/tree/{COMMIT}"] = json.dumps(entries).encode()
    remote.pages[f"/api/models/{REPOSITORY}/revision/main"] = json.dumps({"sha": COMMIT}).encode()
    return HubSource(REPOSITORY, "main")


def test_a_model_comes_from_a_registry_by_digest(remote: Remote, tmp_path: Path) -> None:
    source = push(remote, write_model(tmp_path / "given"))
    manifest = pull_model(MODEL, QUIET, source)
    assert (manifest.source, sorted(manifest.files)) == (source.label, ["LICENSE", "config.json", "model.safetensors"])
    assert verify_model(MODEL) == manifest
    before = len(remote.asked)
    assert pull_model(MODEL, QUIET, source) == manifest
    assert len(remote.asked) == before


def test_a_registry_with_a_token_service_is_asked_with_the_stored_login(remote: Remote, tmp_path: Path) -> None:
    source = push(remote, write_model(tmp_path / "given"))
    remote.token = "a-token"
    with pytest.raises(ServingError, match=r"refuses models/small \(401\): log in with `podman login") as caught:
        pull_model(MODEL, QUIET, source)
    assert caught.value.exit_status == 2
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {remote.host: {"auth": LOGIN}}}))
    assert pull_model(MODEL, QUIET, source).source == source.label
    assert all(key != f"Basic {LOGIN}" for path, _, key in remote.asked if not path.startswith("/token"))


def test_a_connection_that_breaks_is_gone_on_from_where_it_broke(remote: Remote, tmp_path: Path) -> None:
    source = push(remote, write_model(tmp_path / "given"))
    remote.breaks[BLOBS] = 2
    pull_model(MODEL, QUIET, source)
    assert [wanted for path, wanted, _ in remote.asked if path == BLOBS] == [None, "bytes=30000-", "bytes=60000-"]


def test_a_pull_that_failed_is_gone_on_by_the_next_one(remote: Remote, tmp_path: Path) -> None:
    source = publish(remote, write_model(tmp_path / "given"))
    remote.breaks[WEIGHTS_URL], remote.break_at = download.TRIES, 10_000
    with pytest.raises(ServingError, match="the next pull goes on where this one stopped"):
        pull_model(MODEL, QUIET, source)
    (kept,) = model_dir("x").parent.iterdir()
    assert sorted(path.name for path in kept.iterdir()) == ["LICENSE", "config.json", "model.safetensors.part"]
    with pytest.raises(ServingError, match="no package carries"):  # a forgotten --from does not sweep it away
        pull_model(MODEL, QUIET)
    remote.asked.clear()
    pull_model(MODEL, QUIET, source)
    assert [wanted for path, wanted, _ in remote.asked if path == WEIGHTS_URL] == ["bytes=50000-"]
    assert verify_model(MODEL)
    assert list(model_dir("x").parent.iterdir()) == [model_dir(MODEL.name)]


def test_a_pull_to_which_nothing_came_leaves_nothing(remote: Remote, tmp_path: Path) -> None:
    there = publish(remote, write_model(tmp_path / "given"))
    remote.status[f"/api/models/{REPOSITORY}/tree/{COMMIT}"] = 404
    nowhere = OciSource(f"127.0.0.1:{free_port()}", "models/small", "sha256:" + "a" * 64)
    empty = tmp_path / "empty"
    empty.mkdir()
    for source in (there, nowhere, DirectorySource(empty)):
        with pytest.raises(ServingError):
            pull_model(MODEL, QUIET, source)
        assert list(model_dir("x").parent.iterdir()) == []


def test_a_server_without_ranges_is_read_from_the_start(remote: Remote, tmp_path: Path) -> None:
    source = push(remote, write_model(tmp_path / "given"))
    remote.breaks[BLOBS], remote.ranges = 1, False
    assert pull_model(MODEL, QUIET, source).files["model.safetensors"].sha256 == sha256(WEIGHTS)


@pytest.mark.parametrize("data", [WEIGHTS[:-1] + b"\x00", WEIGHTS + b"x"], ids=["changed", "longer"])
def test_bytes_other_than_the_source_states_are_refused_and_thrown_away(remote: Remote, tmp_path: Path, data: bytes) -> None:
    source = push(remote, write_model(tmp_path / "given"))
    remote.pages[BLOBS] = data
    with pytest.raises(ModelChangedError, match="source stated") as caught:
        pull_model(MODEL, QUIET, source)
    assert caught.value.exit_status == 1
    assert not list(model_dir("x").parent.glob(".*.part"))


def test_a_manifest_of_another_digest_is_refused(remote: Remote, tmp_path: Path) -> None:
    source = push(remote, write_model(tmp_path / "given"))
    remote.pages[f"/v2/models/small/manifests/{source.digest}"] += b" "
    with pytest.raises(ModelChangedError, match="a manifest of another digest"):
        pull_model(MODEL, QUIET, source)


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ({"annotations": {"org.opencontainers.image.title": "../../evil.json"}}, "not a kind of file"),
        ({"annotations": {"org.opencontainers.image.title": "evil.py"}}, "not a kind of file"),
        ({"annotations": {"org.opencontainers.image.title": "config.json"}}, "two layers carry the same file name"),
        ({}, "a layer names no file"),
        ({"digest": "sha256:../../x"}, "not an image manifest with layers"),
    ],
)
def test_a_layer_that_is_no_plain_file_is_refused(remote: Remote, tmp_path: Path, layer: dict[str, object], told: str) -> None:
    source = push(remote, write_model(tmp_path / "given"), extra=[{"digest": "sha256:" + "0" * 64, "size": 1, **layer}])
    with pytest.raises(ServingError, match=told):
        pull_model(MODEL, QUIET, source)
    assert not model_dir(MODEL.name).exists()


def test_a_login_is_not_sent_to_a_token_service_without_https(remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = push(remote, write_model(tmp_path / "given"))
    remote.token, remote.url = "a-token", "http://registry.example"
    with pytest.raises(ServingError, match="not HTTPS: not sent"):
        pull_model(MODEL, QUIET, source)


def test_a_model_comes_from_the_hub_without_pickles_and_code(remote: Remote, tmp_path: Path) -> None:
    manifest = pull_model(MODEL, QUIET, publish(remote, write_model(tmp_path / "given")))
    assert (manifest.source, sorted(manifest.files)) == (f"hf://{REPOSITORY}@{COMMIT}", ["LICENSE", "config.json", "model.safetensors"])
    assert not [path for path, _, _ in remote.asked if path.endswith((".bin", ".py"))]


def test_small_files_of_the_hub_are_held_against_gits_hash(remote: Remote, tmp_path: Path) -> None:
    source = publish(remote, write_model(tmp_path / "given"))
    remote.pages[f"/{REPOSITORY}/resolve/{COMMIT}/LICENSE"] = b"TERMS"
    with pytest.raises(ModelChangedError, match="the source stated for LICENSE"):
        pull_model(MODEL, QUIET, source)


@pytest.mark.parametrize(("status", "told"), [(401, "set HF_TOKEN"), (403, "gated or private"), (404, "has no such repository"), (500, "answers 500")])
def test_a_gated_missing_or_broken_repository_is_one_line(remote: Remote, tmp_path: Path, status: int, told: str) -> None:
    source = publish(remote, write_model(tmp_path / "given"))
    remote.status[f"/api/models/{REPOSITORY}/tree/{COMMIT}"] = status
    with pytest.raises(ServingError, match=told) as caught:
        pull_model(MODEL, QUIET, source)
    assert "\n" not in str(caught.value)


def test_the_hubs_key_is_taken_from_the_environment_and_never_told(remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = publish(remote, write_model(tmp_path / "given"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    remote.status[WEIGHTS_URL] = 403
    with pytest.raises(ServingError, match="the key in HF_TOKEN has no access") as caught:
        pull_model(MODEL, QUIET, source)
    assert "hf_secret" not in str(caught.value)
    assert all(key == "Bearer hf_secret" for _, _, key in remote.asked)


def test_a_place_that_cannot_be_reached_is_one_line(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    host = f"127.0.0.1:{free_port()}"
    with pytest.raises(ServingError, match="cannot be reached"):
        pull_model(MODEL, QUIET, OciSource(host, "models/small", "sha256:" + "0" * 64))
    monkeypatch.setenv("HF_ENDPOINT", f"http://{host}")
    with pytest.raises(ServingError, match="refused") as caught:
        pull_model(MODEL, QUIET, HubSource(REPOSITORY, COMMIT))
    assert "\n" not in str(caught.value)
