"""NVIDIA GPUs by the management library NVML, through `pynvml` of nvidia-ml-py.

In: the library, and sysfs for what it does not tell (NUMA node, width of the slot). Out: `Accelerator`s and the `Link`s
between them. Every field fails alone: a GPU that fell off the bus, or a question its driver does not know, costs that answer
and no other. Nothing here changes a GPU's state.
"""

from stack.hardware_profiles.accelerators.nvml.inventory import Found, read_nvml
from stack.hardware_profiles.accelerators.nvml.library import sysfs_address

__all__ = ["Found", "read_nvml", "sysfs_address"]
