"""Two machines of a Ray cluster on this one: `python ray_machines.py FOLDER CPUS`.

The first has no cores to give, so that an engine has to run on the second. Writes FOLDER/machines.json (address, ids of the head and of the other) when
both are up, and ends both on SIGTERM.
"""

import json
import signal
import sys
from pathlib import Path

from ray.cluster_utils import Cluster

OBJECT_STORE_BYTES = 100_000_000


def main(folder: Path, cpus: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    here = {"node_ip_address": "127.0.0.1", "object_store_memory": OBJECT_STORE_BYTES}
    head = {**here, "num_cpus": 0, "include_dashboard": False, "temp_dir": str(folder)}
    cluster = Cluster(initialize_head=True, connect=False, head_node_args=head)
    try:
        other = cluster.add_node(num_cpus=cpus, **here)
        told = {"address": cluster.address, "head": cluster.head_node.node_id, "other": other.node_id}
        (folder / "half").write_text(json.dumps(told))
        (folder / "half").rename(folder / "machines.json")
        signal.pause()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
