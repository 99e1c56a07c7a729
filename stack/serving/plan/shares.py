"""Several engines beside each other: each gets an equal part of the hardware (pure)."""

import math
from dataclasses import replace

from stack.serving.errors import ServingError
from stack.serving.plan.hardware import Hardware


def share_of(hardware: Hardware, engines: int) -> Hardware:
    """What one of `engines` may use: its own accelerators, or its part of the processor's cores and memory.

    Threads of engines that share a processor are not bound to cores: vLLM binds every engine to the same ones.
    ServingError when there are fewer accelerators than engines.
    """
    if engines == 1:
        return hardware
    if hardware.cpu is None:
        if hardware.nodes > 1:
            raise ServingError(f"{engines} engines beside each other are planned for one machine, not for {hardware.nodes}")
        if hardware.per_node < engines:
            raise ServingError(f"field `replicas`: {engines} engines need an accelerator each, this machine has {hardware.per_node}")
        return replace(hardware, per_node=hardware.per_node // engines)
    cores = hardware.cpu.usable_cores or 1
    limits = {"usable_cores": max(1, math.floor(cores / engines)), "physical_cores": max(1, (hardware.cpu.physical_cores or math.floor(cores)) // engines)}
    return replace(hardware, device_bytes=hardware.device_bytes // engines, cpu=hardware.cpu.model_copy(update=limits), shared_by=engines)
