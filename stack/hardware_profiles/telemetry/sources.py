"""Which sources a machine is asked (edge)."""

from stack.hardware_profiles.telemetry.amd import AmdReader
from stack.hardware_profiles.telemetry.gaudi import GaudiReader
from stack.hardware_profiles.telemetry.host import DiskReader, HostReader, NetworkReader, TemperatureReader
from stack.hardware_profiles.telemetry.neuron import NeuronReader
from stack.hardware_profiles.telemetry.nvml import NvmlReader
from stack.hardware_profiles.telemetry.rapl import RaplReader
from stack.hardware_profiles.telemetry.readers import Source
from stack.hardware_profiles.telemetry.tpu import TpuReader
from stack.hardware_profiles.tree import Tree


def all_sources() -> tuple[Source, ...]:
    """Each alone: one that this machine lacks tells so and is asked again now and then."""
    tree = Tree()
    return (
        Source("nvml", NvmlReader()),
        Source("amd", AmdReader(tree)),
        Source("gaudi", GaudiReader(tree)),
        Source("neuron", NeuronReader(tree)),
        Source("tpu", TpuReader(tree)),
        Source("host", HostReader()),
        Source("disk", DiskReader()),
        Source("network", NetworkReader()),
        Source("temperature", TemperatureReader()),
        Source("rapl", RaplReader()),
    )
