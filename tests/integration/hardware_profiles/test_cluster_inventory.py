"""`--cluster` by the real Kubernetes client, over HTTP, against an API server that pages, refuses and errs as the real one does."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kube_api import CLUSTER_UID, FakeCluster, dra_gpu, fleet, gpu_node, kubeconfig, node, resource_slice, serving, status

from stack.evidence import EvidenceStore
from stack.hardware_profiles import Accelerator, Inventory, collect_inventory
from stack.hardware_profiles.cluster import ClusterError, ClusterInventory, collect_cluster, connect
from stack.hardware_profiles.cluster.evidence import recompute
from stack.hardware_profiles.cluster.publish import Place, config_map, publish

pytestmark = pytest.mark.slow
CANARY = "canary-token"
MACHINES = Path(__file__).parents[2] / "data" / "machines"


@contextmanager
def reading(cluster: FakeCluster, folder: Path) -> Iterator[Path]:
    """The kubeconfig of a running server."""
    with serving(cluster) as url:
        yield kubeconfig(url, folder / "kubeconfig")


def collected(cluster: FakeCluster, folder: Path, *, identifiers: bool = False) -> ClusterInventory:
    with reading(cluster, folder) as file:
        return collect_cluster(connect(file, None), namespace="stack", identifiers=identifiers)


def command(*options: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "stack.cli.main", "inventory", "--cluster", *options]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)


def test_every_node_of_a_large_cluster_is_read_once(tmp_path: Path) -> None:
    cluster = FakeCluster(nodes=fleet(1201))
    found = collected(cluster, tmp_path)
    assert [each.name for each in found.nodes] == sorted(each["metadata"]["name"] for each in cluster.nodes)
    assert [(kind.count, kind.ready, kind.instance_type) for kind in found.kinds] == [(301, 301, "p5.48xlarge"), (900, 900, "m7i.24xlarge")]
    assert sum("/api/v1/nodes" in line for line in cluster.requests) == 3
    assert found.version == "v1.34.2"
    assert found.failures == ()


def test_an_expired_continue_token_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    cluster = FakeCluster(nodes=fleet(1100), expire_after={"nodes": 2})
    found = collected(cluster, tmp_path)
    assert [each.name for each in found.nodes] == sorted(each["metadata"]["name"] for each in cluster.nodes)
    assert cluster.expire_after == {}, "the token did expire"


@pytest.mark.parametrize("versions", [("v1", "v1beta1"), ("v1beta2", "v1beta1"), ("v1beta1",)])
def test_dra_devices_come_from_the_newest_api_that_is_served(tmp_path: Path, versions: tuple[str, ...]) -> None:
    slices = [resource_slice("gpu.nvidia.com", "n1", [dra_gpu(f"gpu-{place}") for place in range(4)]), resource_slice("fabric.example", None, [{"name": "x"}])]
    cluster = FakeCluster(nodes=[node("n1")], slices=slices, resource_versions=versions)
    found = collected(cluster, tmp_path)
    ((gpus,),) = (each.accelerators for each in found.nodes)
    assert (gpus.product, gpus.devices, gpus.source) == ("NVIDIA GB200", 4, "dra")
    assert found.unplaced_devices == 1
    assert any(f"/apis/resource.k8s.io/{versions[0]}/resourceslices" in line for line in cluster.requests)


def test_gpus_under_a_device_plugin_and_dra_are_one_set(tmp_path: Path) -> None:
    slices = [resource_slice("gpu.nvidia.com", "n1", [dra_gpu(f"gpu-{place}") for place in range(8)])]
    ((gpus,),) = (each.accelerators for each in collected(FakeCluster(nodes=[gpu_node("n1")], slices=slices), tmp_path).nodes)
    assert (gpus.devices, gpus.source) == (8, "device-plugin")


def test_a_cluster_without_dra_says_so_and_gives_the_rest(tmp_path: Path) -> None:
    found = collected(FakeCluster(nodes=fleet(4), resource_versions=()), tmp_path)
    assert len(found.nodes) == 4
    assert {probe.name: probe.reason for probe in found.failures} == {"devices": "this API server does not offer it"}


ALLOWED = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}


def test_what_may_not_be_read_is_told_with_the_rule_that_is_missing(tmp_path: Path) -> None:
    found = collected(FakeCluster(nodes=fleet(4), rules=[ALLOWED]), tmp_path)
    assert len(found.nodes) == 4
    reasons = {probe.name: probe.reason for probe in found.failures}
    assert reasons.keys() == {"cluster", "devices", "own"}
    assert "`get namespaces kube-system in the cluster`" in reasons["cluster"]
    assert "`list resourceslices.resource.k8s.io in the cluster`" in reasons["devices"]
    assert "`list configmaps in that namespace`" in reasons["own"]
    assert found.cluster is None


def test_without_the_right_to_list_nodes_there_is_no_inventory(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"may not list nodes.*`list nodes in the cluster`"):
        collected(FakeCluster(nodes=fleet(4), rules=[]), tmp_path)


def test_hashes_are_the_same_each_time_and_show_nothing(tmp_path: Path) -> None:
    cluster = FakeCluster(nodes=[gpu_node("n1")])
    first, second, shown = collected(cluster, tmp_path), collected(cluster, tmp_path), collected(cluster, tmp_path, identifiers=True)
    assert first == second
    assert shown.cluster == CLUSTER_UID
    assert CLUSTER_UID not in first.model_dump_json()
    (one,) = shown.nodes
    for value in (one.provider_id, one.machine_id, one.system_uuid):
        assert value
        assert value not in first.model_dump_json()


def test_odd_nodes_keep_their_place_and_their_reason(tmp_path: Path) -> None:
    wrong: dict[str, Any] = {"metadata": {"name": "wrong"}, "status": {"capacity": {"cpu": 8}}}
    nodes = [gpu_node("good"), {"metadata": {"name": "bare"}}, wrong, {"metadata": {"name": "null", "labels": None}, "status": None}, {"kind": "Node"}]
    found = collected(FakeCluster(nodes=nodes), tmp_path)
    assert [each.name for each in found.nodes] == ["", "bare", "good", "null", "wrong"]
    assert [probe.name for probe in found.failures] == ["nodes.wrong", "nodes.(no name)"]
    assert "$.status.capacity" in found.failures[0].reason


def written(name: str, accelerators: tuple[Accelerator, ...]) -> tuple[tuple[str, str], dict[str, Any]]:
    """The ConfigMap of a node that sees these accelerators."""
    inventory = Inventory.model_validate_json((MACHINES / "cpu.json").read_text()).model_copy(update={"accelerators": accelerators})
    made = config_map(Place("stackproof", name, "stack", "pod", "uid"), inventory, now=datetime(2026, 11, 24, tzinfo=UTC))
    return ("stack", made["metadata"]["name"]), made


def test_a_nodes_own_inventory_names_what_labels_do_not(tmp_path: Path) -> None:
    (gpu,) = Inventory.model_validate_json((MACHINES / "cuda.json").read_text()).accelerators
    gaudi = gpu.model_copy(update={"vendor": "Intel Gaudi", "name": "HL-325L", "memory_bytes": 128 << 30, "driver": "1.22.0", "source": "hlml"})
    nodes = [node("gaudi", resources={"habana.ai/gaudi": "8"}), node("forgotten"), gpu_node("labeled")]
    maps = dict([written("gaudi", (gaudi,) * 8), written("forgotten", (gpu, gpu)), written("labeled", (gpu,))])
    found = {each.name: each for each in collected(FakeCluster(nodes=nodes, config_maps=maps), tmp_path).nodes}
    (named,) = found["gaudi"].accelerators
    assert (named.product, named.memory_bytes, named.driver, named.devices, named.described_by) == ("HL-325L", 128 << 30, "1.22.0", 8, "node")
    (unoffered,) = found["forgotten"].accelerators
    assert (unoffered.source, unoffered.product, unoffered.devices, unoffered.capacity) == ("node", gpu.name, 2, 0)
    assert [each.described_by for each in found["labeled"].accelerators] == ["labels"]


def test_accelerators_that_no_resource_offers_are_warned_of(tmp_path: Path) -> None:
    (gpu,) = Inventory.model_validate_json((MACHINES / "cuda.json").read_text()).accelerators
    found = collected(FakeCluster(nodes=[node("forgotten"), node("plain")], config_maps=dict([written("forgotten", (gpu,))])), tmp_path)
    (warning,) = found.warnings
    assert warning.startswith("forgotten: accelerators that no resource offers")


def test_what_the_daemonsets_program_publishes_is_read_back(tmp_path: Path) -> None:
    cluster = FakeCluster(nodes=[node("n1"), node("n2")])
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "token").write_text(CANARY)
    with reading(cluster, tmp_path) as file:
        api = connect(file, None)
        for name in ("n1", "gone"):
            publish(Place("stackproof", name, "stack", "pod", "uid"), api.server, credentials)
        found = collect_cluster(api, namespace="stack")
    first, second = found.nodes
    assert first.own is not None
    assert first.own.physical_cores == collect_inventory().cpu.physical_cores
    assert second.own is None
    assert any(warning.startswith("gone: ") for warning in found.warnings)
    writes = [line for line in cluster.requests if not line.startswith("GET")]
    assert [line.split("?")[0] for line in writes] == [f"PATCH /api/v1/namespaces/stack/configmaps/stackproof-inventory.{name}" for name in ("n1", "gone")]
    assert all("fieldManager=" in line for line in writes)


def test_a_config_map_that_is_no_inventory_is_named_and_costs_nothing_else(tmp_path: Path) -> None:
    labels = {"app.kubernetes.io/part-of": "stackproof", "app.kubernetes.io/component": "inventory"}
    maps = {
        ("stack", "stackproof-inventory.n1"): {"metadata": {"name": "stackproof-inventory.n1", "labels": labels}, "binaryData": {"inventory.json.gz": "eA=="}}
    }
    found = collected(FakeCluster(nodes=[node("n1"), node("n2")], config_maps=maps), tmp_path)
    assert len(found.nodes) == 2
    assert [probe.name for probe in found.failures] == ["own.n1"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((401, b"{}"), "refused the credentials"),
        (status(500, "etcdserver: leader changed"), "etcdserver: leader changed"),
        ((200, b"<html>\nlog in</html>"), "is no list of the Kubernetes API"),
        (status(404, "not here"), "is no Kubernetes API server"),
    ],
)
def test_a_server_that_is_no_use_ends_in_one_line(tmp_path: Path, answer: tuple[int, bytes], words: str) -> None:
    cluster = FakeCluster(override=lambda _method, path: answer if path == "/api/v1/nodes" else None)
    with pytest.raises(ClusterError, match=words) as told:
        collected(cluster, tmp_path)
    assert "\n" not in str(told.value)
    assert CANARY not in str(told.value)


def test_an_overloaded_server_is_asked_again(tmp_path: Path) -> None:
    """429 with Retry-After: how the API server's fairness turns a reader away."""
    left = [1]

    def busy(_method: str, path: str) -> tuple[int, bytes] | None:
        return status(429, "too many requests") if path == "/api/v1/nodes" and left and left.pop() else None

    assert len(collected(FakeCluster(nodes=fleet(3), override=busy), tmp_path).nodes) == 3


@pytest.mark.parametrize("broken", [1, 2])
def test_an_answer_that_breaks_off_is_asked_for_again(tmp_path: Path, broken: int) -> None:
    cluster = FakeCluster(nodes=fleet(600), cut=broken)
    assert [each.name for each in collected(cluster, tmp_path).nodes] == sorted(each["metadata"]["name"] for each in cluster.nodes)
    assert cluster.cut == 0


def test_answers_that_always_break_off_end_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="its answers break off"):
        collected(FakeCluster(nodes=fleet(3), cut=1000), tmp_path)


def test_the_command_prints_tables_json_and_a_record_that_recomputes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACKPROOF_CONFIG", str(tmp_path / "config"))
    with reading(FakeCluster(nodes=fleet(8)), tmp_path) as file:
        table = command("--kubeconfig", str(file), "--context", "fake", "--out", str(tmp_path / "out.json"), "--evidence", str(tmp_path / "evidence"))
        printed = command("--kubeconfig", str(file), "--json", "--namespace", "stack")
    assert table.returncode == 0, table.stderr
    assert "16 x NVIDIA-H100-80GB-HBM3" in table.stdout
    found = ClusterInventory.model_validate_json(printed.stdout)
    assert found == ClusterInventory.model_validate_json((tmp_path / "out.json").read_text())
    assert CANARY not in printed.stdout + table.stdout
    (record,) = EvidenceStore(tmp_path / "evidence").read()
    assert tuple(recompute(record)) == record.record.figures
    assert next(figure.value for figure in record.record.figures if figure.name == "accelerators.count") == 16


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_unreachable_cluster_and_bad_options_end_in_one_line_and_status_2(tmp_path: Path) -> None:
    nowhere = kubeconfig(f"http://127.0.0.1:{closed_port()}", tmp_path / "nowhere")
    (tmp_path / "odd").write_text("- no\n- kubeconfig\n")
    cases = {
        ("--kubeconfig", str(nowhere)): f"http://127.0.0.1:{json.loads(nowhere.read_text())['clusters'][0]['cluster']['server'].rpartition(':')[2]}: no answer",
        ("--kubeconfig", str(nowhere), "--context", "other"): "other",
        ("--kubeconfig", str(tmp_path / "odd")): "not written as one",
        ("--kubeconfig", str(tmp_path / "missing")): "missing: no usable cluster",
        ("--format", "labels"): "leave it out with --cluster",
    }
    for options, words in cases.items():
        done = command(*options)
        assert (done.returncode, done.stdout) == (2, ""), options
        assert words in done.stderr
        assert done.stderr.count("\n") == 1


def test_the_options_of_a_cluster_without_cluster_are_refused() -> None:
    done = subprocess.run([sys.executable, "-m", "stack.cli.main", "inventory", "--context", "prod"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (2, "stackproof: --context, --kubeconfig, --namespace: speak of a cluster: add --cluster\n")


def test_neither_help_nor_the_machines_inventory_imports_the_client() -> None:
    code = (
        "import sys, stack.cli.main, stack.hardware_profiles, stack.hardware_profiles.cluster; sys.exit('kubernetes' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
