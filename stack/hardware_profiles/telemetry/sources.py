"""Which sources a machine is asked (edge)."""

from stack.hardware_profiles.telemetry.host import DiskReader, HostReader, NetworkReader, TemperatureReader
from stack.hardware_profiles.telemetry.nvml import NvmlReader
from stack.hardware_profiles.telemetry.rapl import RaplReader
from stack.hardware_profiles.telemetry.readers import Source


def all_sources() -> tuple[Source, ...]:
    """Each alone: one that this machine lacks tells so and is asked again now and then."""
    return (
        Source("nvml", NvmlReader()),
        Source("host", HostReader()),
        Source("disk", DiskReader()),
        Source("network", NetworkReader()),
        Source("temperature", TemperatureReader()),
        Source("rapl", RaplReader()),
    )
