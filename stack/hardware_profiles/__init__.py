"""Layer (i)(A): what is in this machine.

In: /proc, /sys, makers' management libraries and tools, installed distributions' metadata, what people declare.
Out: a frozen `Inventory` in which an unknown value is None and a probe says why, the evidence record made of it,
an MLPerf system description and node labels.
It must never guess a value, import torch, vllm or ray, change anything on the machine, or show an
identifier (serial, UUID, MAC) that was not asked for.
"""

from stack.hardware_profiles.collect import collect_inventory
from stack.hardware_profiles.inventory import (
    Accelerator,
    Cache,
    Cpu,
    Host,
    Inventory,
    Memory,
    NetworkInterface,
    Package,
    Probe,
    Software,
    Storage,
)

__all__ = [
    "Accelerator",
    "Cache",
    "Cpu",
    "Host",
    "Inventory",
    "Memory",
    "NetworkInterface",
    "Package",
    "Probe",
    "Software",
    "Storage",
    "collect_inventory",
]
