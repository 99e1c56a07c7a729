"""A small machine to audit: a model in a cache of its own, and a gateway that can be broken in one place."""

import json
import pickle
import secrets
import ssl
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from stack.runtime.files import sha256_file
from stack.security import AuditContext
from stack.serving import load_policy
from stack.serving.judge import Call, judge
from stack.serving.keys import ApiKey, KeyRing, hash_key, new_key, write_keys
from stack.serving.models import CI_MODEL, Parameters, find_model
from stack.serving.requests import RefusedError
from stack.serving.weights import MANIFEST, Manifest, ModelFile, model_dir

WEIGHTS = 6


def seal(folder: Path) -> None:
    """Write the manifest of what lies in a model's folder."""
    files = {path.name: ModelFile(sha256=sha256_file(path), size_bytes=path.stat().st_size) for path in folder.iterdir() if path.name != MANIFEST}
    manifest = Manifest(model=CI_MODEL, source_sha256=find_model(CI_MODEL).source.sha256, tools={}, files=files)
    (folder / MANIFEST).write_text(manifest.model_dump_json())


def safetensors(header: dict[str, Any], data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AuditContext:
    """A healthy pulled model of six weights, a private signing key, private folders; no server."""
    for name in ("cache", "config"):
        (tmp_path / name).mkdir(mode=0o700)
        monkeypatch.setenv(f"STACKPROOF_{name.upper()}", str(tmp_path / name))
    monkeypatch.delenv("STACKPROOF_SIGNING_KEY", raising=False)
    folder = model_dir(CI_MODEL)
    folder.mkdir(parents=True, mode=0o755)
    header = {"__metadata__": {"format": "pt"}, "w": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}}
    (folder / "model.safetensors").write_bytes(safetensors(header, bytes(12)))
    (folder / "config.json").write_text('{"model_type": "llama", "layers": [{"kind": 1}]}')
    seal(folder)
    key = tmp_path / "config" / "signing_key.pem"
    key.write_text("not looked at")
    key.chmod(0o600)
    model = find_model(CI_MODEL).model_copy(update={"parameters": Parameters(total=WEIGHTS, active=WEIGHTS)})
    return AuditContext(catalog=model, private_dirs=(tmp_path / "cache", tmp_path / "config"))


@pytest.fixture
def model_folder(context: AuditContext) -> Path:
    return context.model_dir


@pytest.fixture
def a_pickle() -> bytes:
    return pickle.dumps({"weights": [1.0]})


class Gateway(BaseHTTPRequestHandler):
    """The project's own judgement behind a plain HTTP server; `fault` names the one thing it gets wrong."""

    protocol_version = "HTTP/1.1"
    fault = ""
    ring = KeyRing(())
    log = Path()
    policy = load_policy()

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not length.isdecimal():
            return self._answer(411, {"error": {"message": "length required"}})
        if int(length) > self.policy.limits.body_bytes and self.fault != "body size":
            self.close_connection = True
            return self._answer(413, {"error": {"message": "body too large"}})
        return self._serve(self.rfile.read(int(length)))

    def _serve(self, body: bytes) -> None:
        if self.fault != "framing" and self._is_ambiguous():
            return self._answer(400, {"error": {"message": "bad request"}})
        # As sent: http.server itself mends a leading `//`.
        target = self.raw_requestline.split()[1].decode("latin-1")
        path, _, query = target.partition("?")
        if self.fault == "paths":
            path = path.replace("//", "/").replace("/./", "/")
        if self.fault == "routes" and path in {"/metrics", "/tokenize"}:
            return self._answer(200, {})
        try:
            judge(Call(self.command, path, query.encode(), self._authorization(), body), self.policy, self.ring)
        except RefusedError as refusal:
            forgiven = (self.fault == "fields" and b"chat_template" in body) or (self.fault == "no key" and refusal.status == 401)
            if not forgiven:
                where = " (vllm/entrypoints/openai/api_server.py)" if self.fault == "leak" else ""
                return self._answer(refusal.status, {"error": {"message": f"{refusal}{where}"}})
        if self.fault != "no log":
            with self.log.open("a") as log:
                log.write(f"{self._request_id} {path} {body.decode() if self.fault == 'prompt in log' else ''}\n")
        if b"no-such-model" in body:
            return self._answer(404, {"error": {"message": "no such model"}})
        return self._answer(200, {"data": []})

    def _authorization(self) -> tuple[str, ...]:
        given = tuple(self.headers.get_all("authorization", []))
        if self.fault == "prefix of a key" and given and len(given[0]) > len("Bearer "):
            stored = {self.ring_key[: len(given[0]) - len("Bearer ")]}
            return (f"Bearer {self.ring_key}",) if given[0].removeprefix("Bearer ") in stored else given
        return given

    ring_key = ""

    def _is_ambiguous(self) -> bool:
        counts = {name.lower(): len(self.headers.get_all(name)) for name in self.headers}
        repeated = any(counts.get(name, 0) > 1 for name in ("host", "content-length", "authorization"))
        return bool(repeated or "host" not in counts or "transfer-encoding" in counts or any("_" in name for name in counts) or self.headers.defects)

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response_only(status)
        self.send_header("x-request-id", self._request_id)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    @property
    def _request_id(self) -> str:
        self.__dict__.setdefault("_id", secrets.token_hex(8))
        return str(self.__dict__["_id"])

    def log_message(self, *_: object) -> None:
        pass


Audited = Callable[..., AuditContext]


@pytest.fixture
def behind_gateway(context: AuditContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Audited]:
    """Starts a gateway with the named fault (empty: none) and returns the context to audit it."""
    monkeypatch.setattr("stack.security.checks.gateway.LOG_WAIT_S", 0.2)  # this one writes its log at once
    servers: list[ThreadingHTTPServer] = []

    def start(fault: str, tls: ssl.SSLContext | None = None) -> AuditContext:
        run_dir = tmp_path / "run"
        run_dir.mkdir(mode=0o700, exist_ok=True)
        key = new_key()
        key_file = run_dir / "api.key"
        key_file.write_text(key)
        key_file.chmod(0o644 if fault == "readable key" else 0o600)
        stored = (ApiKey(tenant="local", sha256=hash_key(key)),)
        write_keys(run_dir / "keys.json", stored)
        if fault == "plain keys":
            (run_dir / "keys.json").write_text(json.dumps([{"tenant": "local", "key": key}]))
        handler = type("Broken", (Gateway,), {"fault": fault, "ring": KeyRing(stored), "ring_key": key, "log": run_dir / "access.log"})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        servers.append(server)
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        given = {"gateway_url": f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}", "api_key_file": key_file, "run_dir": run_dir}
        return AuditContext(catalog=context.catalog, private_dirs=context.private_dirs, **given)  # type: ignore[arg-type]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
