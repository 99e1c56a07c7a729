"""What accelerators and their host do at this moment.

In: makers' libraries and tools, psutil's /proc, sysfs. Out: `Reading`s in base units, and from them the Prometheus metrics of
`stackproof exporter` and the samples that a benchmark takes of the system under test. Nothing here keeps history, changes a
setting or shows an identifier in clear; a source that cannot be read costs its own readings and no other's.
"""

from stack.hardware_profiles.telemetry.readers import Reader, Reading, Source

__all__ = ["Reader", "Reading", "Source"]
