"""`label run` on the Ray cluster that RAY_ADDRESS names, as a KubeRay job sets it: used, sized by its CPUs, and left running."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from chat_server import ChatServer
from labeling_notes import committed, dataset

from stack.pipelines import LocalExecutor, find_endpoint, load_pipeline, run_pipeline
from stack.runtime import ray_head
from stack.runtime.process import Child

pytestmark = pytest.mark.slow

CPUS = 3
LABEL = [sys.executable, "-m", "stack.cli.main", "label", "run"]
SIZED = """
import sys
from pathlib import Path
from stack.pipelines.ray_executor import RayExecutor
with RayExecutor(logs=Path(sys.argv[1])) as executor:
    print(executor.workers, sorted(executor.map(lambda number: number * number, [3, 2, 1])))
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A head that is not the run's own, and the environment that KubeRay would give to its containers."""
    folder = Path(tmp_path_factory.mktemp("c"))
    settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "c" * 64, "RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    inherited = {name: value for name, value in os.environ.items() if name not in {"RAY_ADDRESS", "RAY_AUTH_TOKEN_PATH"}}
    command = [sys.executable, "-m", ray_head.__name__, str(folder / "s"), str(folder / "logs"), str(CPUS)]
    (folder / "s").mkdir()
    child = Child.start("another Ray", command, log=folder / "head.log", env={**inherited, **settings})
    try:
        child.wait_ready((folder / "s" / ray_head.ADDRESS).exists, timeout_s=90)
        yield {**inherited, **settings, "RAY_ADDRESS": (folder / "s" / ray_head.ADDRESS).read_text()}
    finally:
        child.stop()


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150, check=False)


def test_it_is_used_and_not_stopped_and_gives_the_same_bytes(notes: Path, cluster: dict[str, str], tmp_path: Path) -> None:
    with ChatServer().running() as server:
        command = [*LABEL, str(notes), "--out", str(tmp_path / "ray"), "--url", server.url, "--api-key-file", str(tmp_path / "key"), "--json"]
        done = run(command, cluster)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["labeled_now"] == 60
        again = json.loads(run(command, cluster).stdout)
        assert again["labeled_now"] == 0
        run_pipeline(load_pipeline(str(notes)), tmp_path / "local", executor=LocalExecutor(), endpoint=find_endpoint(server.url, api_key_file=tmp_path / "key"))
    assert len(committed(tmp_path / "ray")) == 10
    assert dataset(tmp_path / "ray") == dataset(tmp_path / "local")
    # No head of the run's own, and after two runs the given one still answers.
    assert not (tmp_path / "ray" / "logs").exists()
    host, port = cluster["RAY_ADDRESS"].split(":")
    socket.create_connection((host, int(port)), timeout=5).close()


def test_its_cpus_are_the_workers(cluster: dict[str, str], tmp_path: Path) -> None:
    done = run([sys.executable, "-c", SIZED, str(tmp_path)], cluster)
    assert done.stdout.split(maxsplit=1) == [str(CPUS), "[1, 4, 9]\n"], done.stderr


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"RAY_ADDRESS": "127.0.0.1:1"}, "RAY_ADDRESS: no cluster answers at 127.0.0.1:1"),
        ({"RAY_AUTH_TOKEN": "d" * 64}, "cannot be used (Failed to connect to Ray cluster"),
    ],
    ids=["nobody answers", "the wrong token"],
)
def test_a_cluster_that_cannot_be_used_is_told(notes: Path, cluster: dict[str, str], tmp_path: Path, changed: dict[str, str], words: str) -> None:
    with ChatServer().running() as server:
        command = [*LABEL, str(notes), "--out", str(tmp_path / "out"), "--url", server.url, "--api-key-file", str(tmp_path / "key")]
        done = run(command, {**cluster, **changed})
        assert not server.asked
    assert done.returncode == 2, done.stderr
    # Before it come the words of Ray's native part, if any.
    assert words in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
