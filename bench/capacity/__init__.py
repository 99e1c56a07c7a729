"""`bench capacity`: the highest load at which a service level holds, found by short runs and confirmed by a long one.

In: a workload as the template of every probe, a `ServiceLevel`, an endpoint. Out: a folder for each probe with its samples, and a
`CapacityResult` that follows from them. Which rate comes next (`search`), whether a run held the level (`level`) and whether the
server was past its limit (`saturation`) are pure functions. It never takes the load generator's limit for the server's, and gives
a bracket, not a number, where the time did not suffice to confirm one.
"""

from bench.capacity.level import ServiceLevel, parse_duration_s, parse_level
from bench.capacity.models import CapacityResult
from bench.capacity.probes import SweepTarget
from bench.capacity.run import SweepOptions, find_capacity, sweep_streams

__all__ = ["CapacityResult", "ServiceLevel", "SweepOptions", "SweepTarget", "find_capacity", "parse_duration_s", "parse_level", "sweep_streams"]
