"""The chart's pods on this machine: rendered commands, mounts as a kubelet lays them out, and loopback for the Services."""

import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml
from machines import Manifest

from stack.runtime.net import free_port
from stack.runtime.process import Child
from stack.serving.envoy_process import envoy_binary

Files = Mapping[str, bytes]
POD = "stackproof-authz-5d8f7c9b4-x2x7q"
ABSOLUTE = re.compile(r"(?<![\w.])/(?:etc/stackproof|run/secrets|run/trust|audit|tmp/admin\.sock)")


def publish(folder: Path, files: Files) -> None:
    """As the kubelet does it: a new folder, `..data` turned to it by one rename, and names that lead through `..data`; then the old folder goes."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh, data = Path(tempfile.mkdtemp(prefix="..2026_", dir=folder)), folder / "..data"
    for name, content in files.items():
        (fresh / name).touch(mode=0o600)
        (fresh / name).write_bytes(content)
    old = data.resolve() if data.is_symlink() else None
    (folder / "..data_tmp").symlink_to(fresh.name)
    (folder / "..data_tmp").rename(data)
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    if old is not None:
        shutil.rmtree(old)


@dataclass
class Pods:
    """`objects` are the site's Secrets and ConfigMaps by name; `services` say where on loopback a Service's name and port lead."""

    stack: list[Manifest]
    root: Path
    objects: dict[str, Files]
    services: dict[str, int]
    ports: dict[int, int] = field(default_factory=dict)
    """Of containers, and the free ones in their place."""

    def container(self, component: str) -> dict[str, Any]:
        return dict(self._pod(component)["containers"][0])

    def mount(self, component: str) -> None:
        """Every volume of a pod where it is mounted, below `root`. KeyError for a file that no object of the site has."""
        volumes = {volume["name"]: volume for volume in self._pod(component)["volumes"]}
        for mount in self.container(component)["volumeMounts"]:
            volume, folder = volumes[mount["name"]], self.inside(mount["mountPath"])
            source = volume.get("secret") or volume.get("configMap")
            if source is None:
                folder.mkdir(parents=True, exist_ok=True)
            else:
                publish(folder, self._files(source))

    def inside(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def renew(self, component: str, mount_path: str, files: Files) -> None:
        """The site changes an object: what the kubelet then does to the mounted folder."""
        assert any(mount["mountPath"] == mount_path and "subPath" not in mount for mount in self.container(component)["volumeMounts"])
        publish(self.inside(mount_path), files)

    def port(self, port: int) -> int:
        return self.ports.setdefault(port, free_port())

    @contextmanager
    def policy_service(self, *, prefix: tuple[str, ...] = ()) -> Iterator[Child]:
        """Until the block ends; ready when its rendered readiness probe says so. `prefix` starts the command."""
        self.mount("authz")
        container = self.container("authz")
        arguments = [self._here(each).replace("$(POD_NAME)", POD).replace("0.0.0.0", "127.0.0.1") for each in container["args"]]
        (listening,) = [port["containerPort"] for port in container["ports"] if port["name"] == "http"]
        arguments = [each.replace(f"--port={listening}", f"--port={self.port(listening)}") for each in arguments]
        with _running("policy service", [*prefix, sys.executable, *container["command"][1:], *arguments], self.root / "policy.log") as child:
            path = container["readinessProbe"]["httpGet"]["path"]
            child.wait_ready(lambda: answers(f"http://127.0.0.1:{self.port(listening)}{path}"), timeout_s=30)
            yield child

    @contextmanager
    def gateway(self) -> Iterator[Child]:
        """Until the block ends; ready when its rendered readiness probe says so."""
        self.mount("gateway")
        config = self.inside("/etc/stackproof/envoy.yaml")
        config.write_text(yaml.safe_dump(self._on_loopback(yaml.load(config.read_text(), yaml.CSafeLoader)), sort_keys=False))
        container = self.container("gateway")
        with _running("gateway", [str(envoy_binary()), *(self._here(each) for each in container["args"])], self.root / "gateway.log") as child:
            child.wait_ready(lambda: answers(self.probe_url()), timeout_s=30)
            yield child

    def probe_url(self) -> str:
        """What the kubelet asks to know whether the gateway is ready."""
        container = self.container("gateway")
        probe, named = container["readinessProbe"]["httpGet"], {port["name"]: port["containerPort"] for port in container["ports"]}
        return f"{probe.get('scheme', 'HTTP').lower()}://127.0.0.1:{self.port(named[probe['port']])}{probe['path']}"

    def _pod(self, component: str) -> Manifest:
        (found,) = [each for each in self.stack if each["kind"] == "Deployment" and each["metadata"]["name"] == f"stackproof-{component}"]
        return dict(found["spec"]["template"]["spec"])

    def _files(self, source: Manifest) -> Files:
        name = source.get("secretName") or source["name"]
        own = [each["data"] for each in self.stack if each["kind"] == "ConfigMap" and each["metadata"]["name"] == name]
        if own:
            return {key: self._here(text).encode() for key, text in own[0].items()}
        return {item["path"]: self.objects[name][item["key"]] for item in source["items"]}

    def _here(self, text: str) -> str:
        return ABSOLUTE.sub(lambda found: f"{self.root}{found[0]}", text)

    def _on_loopback(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._on_loopback(each) for each in node]
        if not isinstance(node, dict):
            return node
        if set(node) == {"address", "port_value"}:
            port = self.port(node["port_value"]) if node["address"] == "0.0.0.0" else self.services[f"{node['address']}:{node['port_value']}"]
            return {"address": "127.0.0.1", "port_value": port}
        return {key: self._on_loopback(each) for key, each in node.items()}


@contextmanager
def _running(name: str, command: list[str], log: Path) -> Iterator[Child]:
    child = Child.start(name, command, log=log, grace_s=2)
    try:
        yield child
    finally:
        child.stop()


def answers(url: str) -> bool:
    """As a kubelet asks: any certificate will do."""
    try:
        return httpx.get(url, verify=False, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


@contextmanager
def start_engine_stub(reached: list[tuple[dict[str, str], bytes]]) -> Iterator[int]:
    """The port of a server that answers 200 to everything; `reached` gets headers and body of what is no health check."""

    class Stub(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.path != "/health":
                reached.append(({":path": self.path, **{name.lower(): value for name, value in self.headers.items()}}, body))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST = _answer  # noqa: N815
        log_message: Callable[..., None] = lambda *_: None

    with ThreadingHTTPServer(("127.0.0.1", 0), Stub) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_port
        server.shutdown()
