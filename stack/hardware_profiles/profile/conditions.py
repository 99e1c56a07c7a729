"""The state of the machine around a measurement, and who else used it meanwhile (edge)."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pynvml

from stack.hardware_profiles.accelerators.nvml.library import ask
from stack.hardware_profiles.profile.models import Conditions, Disturbance
from stack.hardware_profiles.tree import Tree, UnreadableError, as_integer

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SHORTEST_S = 0.25
"""The kernel counts CPU time in ticks of 10 ms a core: in less time than this a share is mostly rounding."""


@dataclass(frozen=True)
class Usage:
    """Counters at one moment; seconds."""

    at: float
    total: float
    busy: float
    steal: float
    own: float
    throttled: float | None


class Watch:
    """Reads one machine's counters. `gpu` is an NVML handle, or None."""

    def __init__(self, tree: Tree | None = None, gpu: Any = None) -> None:
        self._tree = tree or Tree()
        self._gpu = gpu

    def conditions(self) -> Conditions:
        return Conditions(
            load_1m=self._try(lambda: float(self._tree.text("proc/loadavg").split()[0])),
            cpu_mhz=self._try(self._mhz),
            cpu_celsius=self._try(self._celsius),
            cpu_throttle_events=self._try(self._throttle_events),
            **self._gpu_state(),
        )

    def usage(self, *, own_s: float | None = None) -> Usage | None:
        """None where the kernel does not tell; `own_s` replaces the CPU time of this process and its ended children."""
        fields = self._try(lambda: [int(field) for field in self._tree.line("proc/stat").split()[1:9]])
        if fields is None or len(fields) < 8:
            return None
        user, nice, system, idle, iowait, irq, softirq, steal = (field / TICKS_PER_S for field in fields)
        # Interrupts belong to no process: those of our own traffic would count as somebody else's.
        busy = user + nice + system
        own = sum(os.times()[:4]) if own_s is None else own_s
        return Usage(time.monotonic(), busy + irq + softirq + idle + iowait + steal, busy, steal, own, self._try(self._throttled))

    def _try(self, read: Callable[[], Any]) -> Any:
        """These counters are extras: one that is missing is None, and not worth a probe each time."""
        try:
            return read()
        except (OSError, UnreadableError, ValueError, IndexError):
            return None

    def _mhz(self) -> float | None:
        """cpufreq where there is one; a guest has only the nominal clock in /proc/cpuinfo."""
        folder = "sys/devices/system/cpu/cpufreq"
        if self._tree.exists(folder):
            policies = [name for name in self._tree.names(folder) if name.startswith("policy")]
            clocks = [self._tree.integer(f"{folder}/{policy}/scaling_cur_freq") / 1e3 for policy in policies]
        else:
            lines = self._tree.text("proc/cpuinfo").splitlines()
            clocks = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
        return sum(clocks) / len(clocks) if clocks else None

    def _celsius(self) -> float | None:
        folder = "sys/class/thermal"
        zones = [name for name in self._tree.names(folder) if name.startswith("thermal_zone")]
        return max((self._tree.integer(f"{folder}/{zone}/temp") / 1e3 for zone in zones), default=None)

    def _throttle_events(self) -> int | None:
        folder = "sys/devices/system/cpu"
        counters = [f"{folder}/{name}/thermal_throttle/core_throttle_count" for name in self._tree.names(folder) if name.startswith("cpu")]
        known = [self._tree.integer(counter) for counter in counters if self._tree.exists(counter)]
        return sum(known) if known else None

    def _throttled(self) -> float | None:
        """Of our own control group, version 2; in a container that is the mounted top."""
        path = self._tree.text("proc/self/cgroup").partition("0::")[2].splitlines()[0].strip("/")
        for where in (f"sys/fs/cgroup/{path}/cpu.stat", "sys/fs/cgroup/cpu.stat"):
            if self._tree.exists(where):
                found = dict(line.split(maxsplit=1) for line in self._tree.text(where).splitlines())
                return as_integer(found["throttled_usec"], where=where) / 1e6 if "throttled_usec" in found else None
        return None

    def _gpu_state(self) -> dict[str, int | None]:
        if self._gpu is None:
            return {}
        return {
            "gpu_sm_mhz": self._try(lambda: ask(pynvml.nvmlDeviceGetClockInfo, self._gpu, pynvml.NVML_CLOCK_SM)),
            "gpu_memory_mhz": self._try(lambda: ask(pynvml.nvmlDeviceGetClockInfo, self._gpu, pynvml.NVML_CLOCK_MEM)),
            "gpu_celsius": self._try(lambda: ask(pynvml.nvmlDeviceGetTemperature, self._gpu, pynvml.NVML_TEMPERATURE_GPU)),
            "gpu_throttle_reasons": self._try(lambda: ask(pynvml.nvmlDeviceGetCurrentClocksEventReasons, self._gpu)),
        }


def disturbance(before: Usage | None, after: Usage | None) -> Disturbance | None:
    """What others took between two readings; shares are of the whole machine's CPU time."""
    if before is None or after is None:
        return None
    seconds, total = after.at - before.at, after.total - before.total
    tell = seconds >= SHORTEST_S and total > 0
    throttled = None if before.throttled is None or after.throttled is None else max(0.0, after.throttled - before.throttled)
    return Disturbance(
        seconds=seconds,
        steal_share=max(0.0, after.steal - before.steal) / total if tell else None,
        others_share=max(0.0, (after.busy - before.busy) - (after.own - before.own)) / total if tell else None,
        throttled_s=throttled,
    )
