"""A Kubernetes API server as far as an inventory asks one: paged lists, RBAC, errors, server-side apply of ConfigMaps. Over real HTTP.

    python tests/fakes/kube_api.py --nodes 10000      # prints its URL, and serves until it is stopped

Objects have the shape and about the size (10 KB a node) of a production cluster's. Each request is checked against `rules`, when given, and
noted in `requests`.
"""

import argparse
import base64
import gzip
import json
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Object = dict[str, Any]
MACHINES = Path(__file__).parents[1] / "data" / "machines"
CLUSTER_UID = "5f0c8a6e-3d1f-4f43-9a52-1c5d2b7e9a10"
DEFAULT_URLS = {"/version", "/apis/resource.k8s.io"}
"""What `system:discovery` and `system:public-info-viewer` let everybody read."""


def gpu_node(name: str, **labels: str) -> Object:
    """8 H100 behind the NVIDIA device plugin and GPU feature discovery."""
    return node(
        name,
        cpu="224",
        memory="2113407800Ki",
        resources={"nvidia.com/gpu": "8", "rdma/hca": "8"},
        labels={
            "nvidia.com/gpu.present": "true",
            "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
            "nvidia.com/gpu.memory": "81559",
            "nvidia.com/gpu.count": "8",
            "nvidia.com/gpu.replicas": "1",
            "nvidia.com/gpu.clique": "7b968a6d-c8aa-45e1-9e07-e1e51be99c31.1",
            "nvidia.com/cuda.driver-version.full": "570.124.06",
            "node.kubernetes.io/instance-type": "p5.48xlarge",
            **labels,
        },
    )


def node(name: str, *, cpu: str = "96", memory: str = "395873292Ki", resources: dict[str, str] | None = None, labels: dict[str, str] | None = None) -> Object:
    """A ready node, with images, conditions and discovery labels as real ones have them."""
    own = resources or {}
    number = sum(name.encode())
    capacity = {"cpu": cpu, "memory": memory, "pods": "110", "ephemeral-storage": "3748905484Ki", "hugepages-1Gi": "0", "hugepages-2Mi": "0", **own}
    discovered = {f"feature.node.kubernetes.io/cpu-cpuid.FEATURE{each}": "true" for each in range(40)}
    digest = "ab" * 32
    return {
        "metadata": {
            "name": name,
            "uid": f"00000000-0000-0000-0000-{number:012d}",
            "resourceVersion": "812345678",
            "labels": {
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/os": "linux",
                "kubernetes.io/hostname": name,
                "topology.kubernetes.io/region": "us-east-1",
                "topology.kubernetes.io/zone": f"us-east-1{'abc'[number % 3]}",
                "node.kubernetes.io/instance-type": "m7i.24xlarge",
                "team.example/owner": "jane.doe",
                **discovered,
                **(labels or {}),
            },
            "annotations": {"node.alpha.kubernetes.io/ttl": "0", "csi.volume.kubernetes.io/nodeid": json.dumps({"ebs.csi.aws.com": f"i-0{number:016x}"})},
            "managedFields": [{"manager": "kubelet", "operation": "Update", "fieldsV1": {"f:status": {f"f:x{each}": {} for each in range(40)}}}],
        },
        "spec": {"podCIDR": "10.0.0.0/24", "providerID": f"aws:///us-east-1a/i-0{number:016x}"},
        "status": {
            "capacity": capacity,
            "allocatable": {**capacity, "cpu": "95690m"},
            "conditions": [
                {
                    "type": kind,
                    "status": "False",
                    "lastHeartbeatTime": "2026-11-24T10:00:00Z",
                    "reason": f"KubeletHasSufficient{kind}",
                    "message": "kubelet has " * 3,
                }
                for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")
            ]
            + [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}],
            "addresses": [{"type": "InternalIP", "address": f"10.1.{number % 256}.7"}, {"type": "Hostname", "address": name}],
            "nodeInfo": {
                "machineID": f"ec2{number:029x}",
                "systemUUID": f"EC2-{number:032x}",
                "bootID": "b2f0",
                "kernelVersion": "6.8.0-1021-aws",
                "osImage": "Ubuntu 24.04.3 LTS",
                "containerRuntimeVersion": "containerd://2.1.4",
                "kubeletVersion": "v1.34.2",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
            "images": [{"names": [f"registry.example/team/image-{each}@sha256:{digest}"], "sizeBytes": 123456789 + each} for each in range(40)],
        },
    }


def fleet(count: int) -> list[Object]:
    """One node in four has 8 GPUs. Memory differs by some KiB from node to node, as it does."""
    nodes = []
    for number in range(count):
        name = f"ip-10-{number >> 16 & 255}-{number >> 8 & 255}-{number & 255}.ec2.internal"
        made = gpu_node(name) if number % 4 == 0 else node(name)
        for kind in ("capacity", "allocatable"):
            amounts = made["status"][kind]
            amounts["memory"] = f"{int(amounts['memory'].removesuffix('Ki')) - number % 97 * 12}Ki"
        nodes.append(made)
    return nodes


def resource_slice(driver: str, node_name: str | None, devices: list[Object], *, generation: int = 1, slices: int = 1, name: str = "") -> Object:
    pool = {"name": node_name or "fabric", "generation": generation, "resourceSliceCount": slices}
    where = {"nodeName": node_name} if node_name else {"allNodes": True}
    return {"metadata": {"name": name or f"{driver}-{node_name}-{generation}"}, "spec": {"driver": driver, "pool": pool, **where, "devices": devices}}


def dra_gpu(name: str, product: str = "NVIDIA GB200", memory: str = "189471Mi", **attributes: str) -> Object:
    """As the NVIDIA driver describes a GPU in resource.k8s.io/v1."""
    said = {"productName": product, "type": "gpu", "uuid": f"GPU-{name}", **attributes}
    told = {key: {"string": value} for key, value in said.items()} | {"driverVersion": {"version": "580.65.6"}}
    return {"name": name, "attributes": told, "capacity": {"memory": {"value": memory}}}


@dataclass
class FakeCluster:
    """What the server answers; tests change it while it runs."""

    nodes: list[Object] = field(default_factory=list)
    slices: list[Object] = field(default_factory=list)
    config_maps: dict[tuple[str, str], Object] = field(default_factory=dict)
    """By namespace and name."""
    resource_versions: tuple[str, ...] = ("v1", "v1beta2", "v1beta1")
    """Of resource.k8s.io; none when the API server has no DRA."""
    rules: list[Object] | None = None
    """RBAC rules of the one user, each with `namespace` where it comes from a Role; None when everything is allowed."""
    expire_after: dict[str, int] = field(default_factory=dict)
    """Collection -> pages until its continue tokens expire."""
    override: Callable[[str, str], tuple[int, bytes] | None] = lambda _method, _path: None
    """Another answer for a request, or None."""
    page_limit: int | None = None
    """The most objects of a page, whatever is asked for."""
    cut: int = 0
    """Lists whose answers break off in the middle, from the next one on."""
    requests: list[str] = field(default_factory=list)

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        url = urlsplit(target)
        self.requests.append(f"{method} {target}")
        if (other := self.override(method, url.path)) is not None:
            return other
        verb = {"PATCH": "patch"}.get(method, "list" if url.path.endswith(("/nodes", "/resourceslices", "/configmaps")) else "get")
        if not self._allowed(verb, url.path):
            return status(403, f'user "reader" cannot {verb} {url.path}')
        return self._serve(method, url.path, dict(parse_qsl(url.query)), body)

    def _serve(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, bytes]:
        found: object
        match path.strip("/").split("/"):
            case ["version"]:
                found = {"major": "1", "minor": "34", "gitVersion": "v1.34.2"}
            case ["api", "v1", "namespaces", "kube-system"]:
                found = {"metadata": {"name": "kube-system", "uid": CLUSTER_UID}}
            case ["apis", "resource.k8s.io"] if self.resource_versions:
                found = {"kind": "APIGroup", "versions": [{"version": each} for each in self.resource_versions]}
            case ["api", "v1", "nodes"]:
                return self._page("nodes", self.nodes, query)
            case ["apis", "resource.k8s.io", version, "resourceslices"] if version in self.resource_versions:
                return self._page("resourceslices", self.slices, query)
            case ["api", "v1", "namespaces", namespace, "configmaps"]:
                return self._page("configmaps", self._selected(namespace, query.get("labelSelector", "")), query)
            case ["api", "v1", "namespaces", namespace, "configmaps", name] if method == "PATCH":
                return self._apply(namespace, name, path, body)
            case _:
                return status(404, "the server could not find the requested resource")
        return 200, json.dumps(found).encode()

    def _selected(self, namespace: str, selector: str) -> list[Object]:
        wanted = dict(term.split("=") for term in selector.split(",") if term)
        found = [each for (where, _), each in sorted(self.config_maps.items()) if where == namespace]
        return [each for each in found if wanted.items() <= each["metadata"].get("labels", {}).items()]

    def _apply(self, namespace: str, name: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Server-side apply asks for `create` too where the object is not there yet, as the real one does."""
        made = (namespace, name) not in self.config_maps
        if made and not self._allowed("create", path.rpartition("/")[0]):
            return status(403, f'user "reader" cannot create {path}')
        self.config_maps[namespace, name] = json.loads(body)
        return (201 if made else 200), body

    def _page(self, kind: str, objects: list[Object], query: dict[str, str]) -> tuple[int, bytes]:
        """A page, and a token that holds where the next begins; like the real one, it says how many are left."""
        limit = min((each for each in (int(query.get("limit", 0)), self.page_limit) if each), default=len(objects)) if "limit" in query else len(objects)
        start = json.loads(base64.urlsafe_b64decode(query["continue"]))["start"] if "continue" in query else 0
        if start and kind in self.expire_after and start >= self.expire_after[kind] * limit:
            del self.expire_after[kind]
            return status(410, "The provided continue parameter is too old", reason="Expired")
        page, left = objects[start : start + limit], len(objects) - start - limit
        token = base64.urlsafe_b64encode(json.dumps({"v": "meta.k8s.io/v1", "rv": 812345678, "start": start + limit}).encode()).decode()
        more = {"continue": token, "remainingItemCount": left} if left > 0 else {}
        return 200, json.dumps({"kind": "List", "metadata": {"resourceVersion": "812345678", **more}, "items": page}).encode()

    def _allowed(self, verb: str, path: str) -> bool:
        if self.rules is None or path in DEFAULT_URLS:
            return True
        parts = path.strip("/").split("/")
        group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
        namespace = None
        if len(rest) > 2 and rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        resource, name = rest[0], rest[1] if len(rest) > 1 else None
        return any(_permits(rule, verb, group, resource, name, namespace) for rule in self.rules)


def _permits(rule: Object, verb: str, group: str, resource: str, name: str | None, namespace: str | None) -> bool:
    return (
        verb in rule["verbs"]
        and group in rule["apiGroups"]
        and resource in rule["resources"]
        and ("resourceNames" not in rule or name in rule["resourceNames"])
        and rule.get("namespace", namespace) == namespace
    )


def status(code: int, message: str, *, reason: str = "") -> tuple[int, bytes]:
    return code, json.dumps({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code}).encode()


def handler(cluster: FakeCluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 20

        def do_GET(self) -> None:
            self._answer(b"")

        def do_PATCH(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _answer(self, body: bytes) -> None:
            code, content = cluster.answer(self.command, self.path, body)
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if code == 429:
                self.send_header("Retry-After", "1")
            self.end_headers()
            if cluster.cut and '"items"' in content[:200].decode(errors="replace"):
                cluster.cut -= 1
                content = content[: len(content) // 2]
                self.close_connection = True
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            """Quiet."""

    return Handler


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_arguments: object) -> None:
        """A client that broke off is no news."""


@contextmanager
def serving(cluster: FakeCluster, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The server's URL while it runs in a thread; over TLS when it is given a context with a certificate."""
    server = Server(("127.0.0.1", 0), handler(cluster))
    if tls is not None:
        # Shaken hands within the request's thread: a client that breaks off must not stop the server.
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def kubeconfig(url: str, path: Path, *, context: str = "fake") -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [{"name": "fake", "cluster": {"server": url}}],
        "users": [{"name": "reader", "user": {"token": "canary-token"}}],
        "contexts": [{"name": context, "context": {"cluster": "fake", "user": "reader"}}],
    }
    path.write_text(json.dumps(config))
    return path


def rules_of(manifests: Iterable[Object]) -> list[Object]:
    """The rules of rendered roles, those of a Role bound to its namespace (`stack`, where a rendering names none)."""
    return [
        {**rule, **({"namespace": role["metadata"].get("namespace", "stack")} if role["kind"] == "Role" else {})}
        for role in manifests
        if role["kind"] in ("ClusterRole", "Role")
        for rule in role["rules"]
    ]


def everything(count: int) -> FakeCluster:
    """A fleet in which each node also has an inventory of its own, and each GPU node a resource slice of 8 GPUs."""
    nodes = fleet(count)
    packed = base64.b64encode(gzip.compress((MACHINES / "cpu.json").read_bytes())).decode()
    labels = {"app.kubernetes.io/part-of": "stackproof", "app.kubernetes.io/component": "inventory"}
    maps = {}
    for each in nodes:
        name = f"stackproof-inventory.{each['metadata']['name']}"
        maps["stackproof", name] = {"metadata": {"name": name, "labels": labels}, "binaryData": {"inventory.json.gz": packed}}
    gpus = [dra_gpu(f"gpu-{place}", "NVIDIA H100 80GB HBM3", "81559Mi") for place in range(8)]
    named = [each["metadata"]["name"] for each in nodes if "nvidia.com/gpu" in each["status"]["capacity"]]
    return FakeCluster(nodes=nodes, slices=[resource_slice("gpu.nvidia.com", name, gpus) for name in named], config_maps=maps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--everything", action="store_true", help="also an inventory by each node, and DRA resource slices")
    options = parser.parse_args()
    cluster = everything(options.nodes) if options.everything else FakeCluster(nodes=fleet(options.nodes))
    server = Server(("127.0.0.1", 0), handler(cluster))
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
