"""A pull from Debian's `docker-registry`, the distribution project's own server, where it is installed."""

import hashlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import httpx
import pytest

from stack.runtime.net import free_port
from stack.runtime.progress import Reporter
from stack.serving.models import find_model
from stack.serving.pull import pull_model
from stack.serving.sources import OciSource
from stack.serving.weights import verify_model

pytestmark = pytest.mark.slow
MODEL = find_model("llama-3.1-8b-instruct")
HEADER = b'{"w":{"dtype":"U8","shape":[3000000],"data_offsets":[0,3000000]}}'
FILES = {
    "model.safetensors": len(HEADER).to_bytes(8, "little") + HEADER + bytes(3_000_000),
    "config.json": b'{"model_type": "llama"}',
}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip(reason="pulling from a registry is not tested: it needs a real one, the Debian package docker-registry, which is not installed")
    host = f"127.0.0.1:{free_port()}"
    config = tmp_path / "config.yml"
    config.write_text(f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {tmp_path / 'store'}}}}}\nhttp: {{addr: {host}}}\n")
    with subprocess.Popen([program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                httpx.get(f"http://{host}/v2/")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield host
        server.terminate()


def push(host: str) -> OciSource:
    base, layers = f"http://{host}/v2/models/small", []
    for name, data in FILES.items():
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        upload = httpx.post(f"{base}/blobs/uploads/").headers["location"]
        assert httpx.put(upload, params={**dict(httpx.URL(upload).params), "digest": digest}, content=data).status_code == 201
        title = {"org.opencontainers.image.title": name}
        layers.append({"mediaType": "application/octet-stream", "digest": digest, "size": len(data), "annotations": title})
    kind = "application/vnd.oci.image.manifest.v1+json"
    config = {"mediaType": "application/octet-stream", "digest": layers[1]["digest"], "size": layers[1]["size"]}
    answer = httpx.put(f"{base}/manifests/v1", json={"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}, headers={"Content-Type": kind})
    assert answer.status_code == 201, answer.text
    return OciSource(host, "models/small", answer.headers["docker-content-digest"])


def test_a_model_pushed_to_a_registry_is_pulled_by_its_digest(registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACKPROOF_CACHE", str(tmp_path / "cache"))
    source = push(registry)
    manifest = pull_model(MODEL, Reporter(StringIO()), source)
    assert {name: file.sha256 for name, file in manifest.files.items()} == {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    assert verify_model(MODEL).source == source.label
