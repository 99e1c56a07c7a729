"""What a run is to do, as one validated YAML file: a single schema behind file, flags and docs.

In: a file, or the name of one in `catalog/`. Out: a frozen `Workload`. It sends nothing and draws no random number: that is
`bench.load`'s.
"""

from bench.workload.files import load_workload, ready_workloads
from bench.workload.models import Workload

__all__ = ["Workload", "load_workload", "ready_workloads"]
