"""The Ray head of one run: `python -m stack.runtime.ray_head FOLDER LOGS CPUS`.

Run as a guarded child, so that Ray's own processes (two of its agents outlive a killed driver by a minute or more) end
with the run that started them. Writes the cluster's address to FOLDER/address when it is ready. On
SIGTERM it shuts Ray down, keeps Ray's logs in LOGS and removes FOLDER, which holds sockets and token.
"""

import shutil
import signal
import sys
from pathlib import Path

from stack.runtime.files import write_atomic

OBJECT_STORE_BYTES = 200_000_000
ADDRESS = "address"
STOP = (signal.SIGTERM, signal.SIGINT)


def main(folder: Path, logs: Path, cpus: int) -> int:
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    import ray

    try:
        context = ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
            _temp_dir=str(folder),
        )
        # Blocked only now: what Ray starts would inherit the mask and could not be told to stop.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
        write_atomic(folder / ADDRESS, context.address_info["gcs_address"])
        signal.sigwait(STOP)
    finally:
        ray.shutdown()
        shutil.copytree(folder / "session_latest" / "logs", logs, dirs_exist_ok=True, ignore_dangling_symlinks=True)
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
