"""What `stackproof inventory --cluster` takes on a large cluster: wall time and peak memory of the whole command.

    .venv/bin/python benchmarks/cluster_inventory.py [--nodes 10000] [--runs 3]

The API server is the tests' own (tests/fakes/kube_api.py), in a process of its own: nodes of about 11 KB each in pages of 500, over HTTP on
this machine, so the time of a network is not in it and the server's own time is. Memory is the largest resident set of the command.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stack.runtime.process import Child

ROOT = Path(__file__).parents[1]
SERVER = ROOT / "tests" / "fakes" / "kube_api.py"
sys.path.insert(0, str(SERVER.parent))


def main() -> None:
    from kube_api import kubeconfig

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    print(f"command: {' '.join(['python', *sys.argv])}; load average {os.getloadavg()[0]:.1f}")
    for what, more in (("nodes alone", []), ("with resource slices and each node's own inventory", ["--everything"])):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            output = folder / "server.out"
            server = Child.start("api server", [sys.executable, str(SERVER), "--nodes", str(options.nodes), *more], log=output)
            try:
                server.wait_ready(lambda log=output: log.read_text().endswith("\n"), timeout_s=120)
                config = kubeconfig(output.read_text().split()[-1], folder / "kubeconfig")
                for _ in range(options.runs):
                    print(f"{what}: {one_run(config, folder / 'inventory.json', options.nodes)}")
            finally:
                server.stop()


def one_run(config: Path, out: Path, expected: int) -> str:
    """In words; it fails when a node is missing or double."""
    started = time.monotonic()
    with out.open("wb") as stdout:
        command = [sys.executable, "-m", "stack.cli.main", "inventory", "--cluster", "--kubeconfig", str(config), "--json"]
        child = subprocess.Popen(command, stdout=stdout)
        # Waited for here, and not by Popen: the usage is that of this child alone.
        _, status, usage = os.wait4(child.pid, 0)
    wall_s = time.monotonic() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"the command ended with status {child.returncode}")
    peak_mib = usage.ru_maxrss / 1024
    names = [node["name"] for node in json.loads(out.read_bytes())["nodes"]]
    if len(names) != expected or len(set(names)) != expected:
        raise SystemExit(f"{len(names)} nodes, {len(set(names))} of them distinct, of {expected}")
    return f"{expected} nodes: {wall_s:.1f} s wall, {peak_mib:.0f} MiB peak, {out.stat().st_size / 1e6:.0f} MB of JSON"


if __name__ == "__main__":
    main()
