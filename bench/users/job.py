"""What a Locust process must know before it connects to anybody, as a file that its environment names (models)."""

import hashlib
import os
import socket
import time
from pathlib import Path

from bench.frozen import Frozen
from bench.users.scenario import Scenario

JOB_VARIABLE = "STACKPROOF_USERS_JOB"
WORKER_VARIABLE = "STACKPROOF_USERS_WORKER"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

CLAIM, REPORT, FINISH, FINISHED = "stackproof_claim", "stackproof_report", "stackproof_finish", "stackproof_finished"
"""Messages beside Locust's own. Worker to master: a new user asks who it is (answered under the same name); what was measured since the
last report; nothing more comes. Master to worker: begin no further request and say when the last is over."""


class MasterJob(Frozen):
    """What only the master knows; it tells its workers the seed and the run."""

    seed: int
    run: str
    """How the id of each request begins."""

    spool: Path
    """Where it keeps what the workers report."""


class Job(Frozen):
    """One node's orders. The key stays in its file: it is in no argument, variable, message or log."""

    scenario: Scenario
    url: str
    api_key_file: Path | None = None
    ca_file: Path | None = None
    master: MasterJob | None = None

    @property
    def digest(self) -> str:
        """Equal for nodes that run the same scenario."""
        return hashlib.sha256(self.scenario.model_dump_json().encode()).hexdigest()


class Machine(Frozen):
    """Whose monotonic clock a stamp is of."""

    boot: str
    offset_ns: int
    """Wall clock less monotonic clock."""

    def to(self, other: "Machine") -> int:
        """What to add to a stamp of this machine to have it on the other's clock: 0 on one machine, else as good as the two wall clocks agree."""
        return 0 if self.boot == other.boot else self.offset_ns - other.offset_ns


def this_machine() -> Machine:
    """Linux's boot id stands for the machine; a container shares it with its host, as it shares the clock."""
    boot = BOOT_ID.read_text().strip() if BOOT_ID.exists() else socket.gethostname()
    return Machine(boot=boot, offset_ns=time.time_ns() - time.monotonic_ns())


def read_job() -> Job:
    """The job whose file the environment names."""
    return Job.model_validate_json(Path(os.environ[JOB_VARIABLE]).read_text(encoding="utf-8"))
