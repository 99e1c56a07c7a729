"""TCP between the nodes of a Ray cluster: two nodes on this machine, started by Ray's own test tool in a process of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack.runtime.process import Child

pytestmark = pytest.mark.slow

TWO_NODES = """
import sys, time
from pathlib import Path
from ray.cluster_utils import Cluster

small = {"num_cpus": 1, "object_store_memory": 100_000_000}
cluster = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
cluster.add_node(**small)
cluster.wait_for_nodes(timeout=60)
Path(sys.argv[1] + ".new").write_text(cluster.address)
Path(sys.argv[1] + ".new").rename(sys.argv[1])
time.sleep(600)
"""
OPEN = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
PROFILE = [sys.executable, "-m", "stack.cli.main", "profile", "--only", "network", "--budget", "5s", "--json"]


def profile(**environment: str) -> dict[str, dict[str, object]]:
    done = subprocess.run(PROFILE, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return {result["name"]: result for result in json.loads(done.stdout)["results"]}


def test_each_pair_of_nodes_is_measured_and_named_for_what_it_is(tmp_path: Path):
    address = tmp_path / "address"
    cluster = Child.start("two nodes", [sys.executable, "-c", TWO_NODES, str(address)], log=tmp_path / "log", env={**os.environ, **OPEN}, grace_s=5.0)
    try:
        cluster.wait_ready(address.exists, timeout_s=90)
        results = profile(RAY_ADDRESS=address.read_text(), **OPEN)
    finally:
        cluster.stop()
    assert set(results) == {"network.node0_node1.throughput", "network.node0_node1.round_trip"}
    for result in results.values():
        assert result["repetitions"], result
        assert result["note"] == "two nodes on one machine"


def test_an_address_where_no_cluster_answers_is_a_reason_not_a_traceback():
    (result,) = profile(RAY_ADDRESS="127.0.0.1:1").values()
    assert result["status"] == "skipped"
    assert "no cluster answers at 127.0.0.1:1" in str(result["reason"])
