"""Every metric that the exporter can tell: name, kind, labels, meaning. Base units by Prometheus' conventions (models; no I/O)."""

from typing import Literal, NamedTuple

GPU = ("gpu", "name", "uuid")
"""Index of the accelerator as its library counts, model, hashed identifier. Whoever made it: an accelerator is called gpu."""

MIG = ("gpu", "gpu_instance", "compute_instance", "profile", "uuid")
"""Index of the GPU it is part of, its own two numbers, its profile as in 3g.20gb, its hashed identifier."""


class Metric(NamedTuple):
    kind: Literal["gauge", "counter"]
    labels: tuple[str, ...]
    meaning: str


METRICS: dict[str, Metric] = {
    "stackproof_source_up": Metric("gauge", ("source",), "1 when the source answered when it was last asked, 0 when it did not"),
    "stackproof_source_read_seconds": Metric("gauge", ("source",), "How long the last answer of the source took"),
    "stackproof_gpu_up": Metric("gauge", GPU, "1 when the accelerator answers, 0 when it is counted and does not"),
    "stackproof_gpu_utilization_ratio": Metric("gauge", GPU, "Share of time in which the accelerator computed, over its library's last sample period"),
    "stackproof_gpu_memory_utilization_ratio": Metric("gauge", GPU, "Share of time in which device memory was read or written"),
    "stackproof_gpu_memory_used_bytes": Metric("gauge", GPU, "Device memory in use"),
    "stackproof_gpu_memory_total_bytes": Metric("gauge", GPU, "Device memory"),
    "stackproof_gpu_power_watts": Metric("gauge", GPU, "Power drawn"),
    "stackproof_gpu_power_limit_watts": Metric("gauge", GPU, "Power limit that is enforced"),
    "stackproof_gpu_energy_joules_total": Metric("counter", GPU, "Energy by the device's own counter, since the driver was loaded or earlier"),
    "stackproof_gpu_temperature_celsius": Metric("gauge", GPU, "Temperature of the processor"),
    "stackproof_gpu_memory_temperature_celsius": Metric("gauge", GPU, "Temperature of device memory"),
    "stackproof_gpu_sm_clock_hertz": Metric("gauge", GPU, "Clock of what computes: multiprocessors, graphics engine (AMD), chip (Gaudi)"),
    "stackproof_gpu_memory_clock_hertz": Metric("gauge", GPU, "Clock of device memory"),
    "stackproof_gpu_throttle_active": Metric("gauge", (*GPU, "reason"), "1 while the reason holds clocks down"),
    "stackproof_gpu_ecc_errors_total": Metric("counter", (*GPU, "kind"), "Memory errors since the driver was loaded"),
    "stackproof_gpu_mig_memory_used_bytes": Metric("gauge", MIG, "Memory in use of the GPU instance that the MIG device belongs to"),
    "stackproof_gpu_mig_memory_total_bytes": Metric("gauge", MIG, "Memory of the GPU instance that the MIG device belongs to"),
    "stackproof_gpu_xid_errors_total": Metric("counter", GPU, "XID errors since the exporter was started"),
    "stackproof_gpu_last_xid": Metric("gauge", GPU, "Number of the last XID error since the exporter was started; absent when there was none"),
    "stackproof_gpu_pcie_transmitted_bytes_total": Metric("counter", GPU, "Sent over PCIe, by the device's counter"),
    "stackproof_gpu_pcie_received_bytes_total": Metric("counter", GPU, "Received over PCIe, by the device's counter"),
    "stackproof_gpu_nvlink_transmitted_bytes_total": Metric("counter", GPU, "Data sent over all NVLinks"),
    "stackproof_gpu_nvlink_received_bytes_total": Metric("counter", GPU, "Data received over all NVLinks"),
    "stackproof_host_cpu_seconds_total": Metric("counter", ("mode",), "Time of all logical CPUs in each mode"),
    "stackproof_host_cpu_busy_ratio": Metric("gauge", (), "Share of CPU time that was neither idle nor waiting, since the reading before"),
    "stackproof_host_load_average": Metric("gauge", ("window",), "Load average"),
    "stackproof_host_memory_used_bytes": Metric("gauge", (), "Memory that is not available without swapping"),
    "stackproof_host_memory_total_bytes": Metric("gauge", (), "Memory"),
    "stackproof_host_swap_used_bytes": Metric("gauge", (), "Swap in use"),
    "stackproof_host_swap_total_bytes": Metric("gauge", (), "Swap"),
    "stackproof_host_disk_read_bytes_total": Metric("counter", ("device",), "Read from a whole disk"),
    "stackproof_host_disk_written_bytes_total": Metric("counter", ("device",), "Written to a whole disk"),
    "stackproof_host_disk_busy_seconds_total": Metric("counter", ("device",), "Time with requests in flight"),
    "stackproof_host_network_received_bytes_total": Metric("counter", ("interface",), "Received by an interface"),
    "stackproof_host_network_transmitted_bytes_total": Metric("counter", ("interface",), "Sent by an interface"),
    "stackproof_host_network_errors_total": Metric("counter", ("interface", "direction"), "Packets in error"),
    "stackproof_host_temperature_celsius": Metric("gauge", ("chip", "sensor"), "Temperature of a sensor of the host"),
    "stackproof_host_cpu_energy_joules_total": Metric("counter", ("package",), "Energy of a CPU package by RAPL, from an arbitrary moment on"),
}
