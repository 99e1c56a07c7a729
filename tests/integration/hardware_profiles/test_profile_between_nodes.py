"""TCP between the nodes of a Ray cluster: a head and a second node on this machine."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stack.runtime.process import Child
from stack.runtime.ray_cluster import LocalRay

pytestmark = pytest.mark.slow
pytest.importorskip("ray")

START_S = 60.0


def test_each_pair_of_nodes_is_measured_and_named_for_what_it_is(tmp_path: Path):
    with LocalRay(logs=tmp_path / "logs", cpus=1) as cluster:
        cluster.start()
        import ray

        address = ray.get_runtime_context().gcs_address
        start = [str(Path(sys.executable).with_name("ray")), "start", "--block", f"--address={address}", "--num-cpus=1", "--node-ip-address=127.0.0.1"]
        node = Child.start("second node", [*start, "--disable-usage-stats"], log=tmp_path / "node.log")
        try:
            deadline = time.monotonic() + START_S
            while sum(each["Alive"] for each in ray.nodes()) < 2:
                assert time.monotonic() < deadline, (tmp_path / "node.log").read_text()[-2000:]
                time.sleep(0.2)
            command = [sys.executable, "-m", "stack.cli.main", "profile", "--only", "network", "--budget", "5s", "--json"]
            done = subprocess.run(command, env={**os.environ, "RAY_ADDRESS": address}, capture_output=True, text=True, timeout=150, check=False)
        finally:
            node.stop()
    assert done.returncode in {0, 1}, done.stderr
    results = {result["name"]: result for result in json.loads(done.stdout)["results"]}
    assert set(results) == {"network.node0_node1.throughput", "network.node0_node1.round_trip"}
    for result in results.values():
        assert result["median"] > 0, result
        assert result["note"] == "two nodes on one machine"


def test_an_address_where_no_cluster_answers_is_a_reason_not_a_traceback():
    command = [sys.executable, "-m", "stack.cli.main", "profile", "--only", "network", "--budget", "5s", "--json"]
    environment = {**os.environ, "RAY_ADDRESS": "127.0.0.1:1", "RAY_gcs_rpc_server_reconnect_timeout_s": "2", "RAY_gcs_server_request_timeout_seconds": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["status"] == "skipped"
    assert "no cluster answers" in result["reason"]
