"""Google TPU chips at this moment, from the metric service of the running workload (edge: one local gRPC service).

libtpu serves it inside the process that holds the chips, so there is none while no workload runs. Its messages and metric names
are those of the package `tpu-info` 0.14 (metrics.py), whose own reading fails as a whole when one metric is missing.
Power, temperature, clocks and errors are not among what it tells.
"""

from contextlib import suppress
from typing import Any

from stack.hardware_profiles.accelerators.pci import GOOGLE, scan_pci
from stack.hardware_profiles.accelerators.tpu import identify
from stack.hardware_profiles.telemetry.asking import optional_module, words
from stack.hardware_profiles.telemetry.readers import Reading
from stack.hardware_profiles.tree import Tree, UnreadableError

SERVICE = "localhost:8431"
TIMEOUT_S = 2.0
NAMES: dict[str, tuple[str, float]] = {
    "stackproof_gpu_memory_used_bytes": ("tpu.runtime.hbm.memory.usage.bytes", 1),
    "stackproof_gpu_memory_total_bytes": ("tpu.runtime.hbm.memory.total.bytes", 1),
    "stackproof_gpu_utilization_ratio": ("tpu.runtime.tensorcore.dutycycle.percent", 1e-2),
}
"""What the service calls it, and what its unit is in ours."""


class TpuReader:
    """One series for each device as the service counts them: a chip, on generations with two cores a core."""

    def __init__(self, tree: Tree, service: str = SERVICE) -> None:
        self._tree = tree
        self._service = service
        self._name: str | None = None
        self._channel: Any = None
        self._messages: Any = None
        self._ask: Any = None

    def read(self) -> tuple[Reading, ...]:
        if self._name is None:
            self._name = self._find()
        if self._channel is None:
            self._open()
        values: dict[str, dict[int, float]] = {}
        for metric, (name, unit) in NAMES.items():
            values[metric] = {device: value * unit for device, value in self._answers(name).items()}
        devices = values["stackproof_gpu_memory_total_bytes"] or values["stackproof_gpu_memory_used_bytes"]
        if not devices:
            raise UnreadableError("the TPU runtime's metric service names no device")
        values["stackproof_gpu_utilization_ratio"] = spread(values["stackproof_gpu_utilization_ratio"], sorted(devices))
        told = [Reading(metric, value, (str(device), self._name, "")) for metric, found in values.items() for device, value in found.items()]
        return (*told, *(Reading("stackproof_gpu_up", 1.0, (str(device), self._name, "")) for device in devices))

    def close(self) -> None:
        if self._channel is not None:
            with suppress(Exception):
                self._channel.close()
        self._channel = None

    def _find(self) -> str:
        """The generation, by PCI numbers: the service does not name it."""
        device = next((each for each in scan_pci(self._tree) if each.vendor == GOOGLE), None)
        if device is None:
            raise UnreadableError("no TPU on the PCI bus")
        chip = identify(self._tree, device)
        return (chip[0].name or "TPU") if chip else "TPU"

    def _open(self) -> None:
        grpc = optional_module("grpc", "grpcio")
        self._messages = optional_module("tpu_info.proto.tpu_metric_service_pb2", "tpu-info")
        stubs = optional_module("tpu_info.proto.tpu_metric_service_pb2_grpc", "tpu-info")
        self._channel = grpc.secure_channel(self._service, grpc.local_channel_credentials())
        self._ask = stubs.RuntimeMetricServiceStub(self._channel).GetRuntimeMetric

    def _answers(self, name: str) -> dict[int, float]:
        """By device number; empty for a metric that this release does not know. UnreadableError when nobody serves."""
        try:
            told = self._ask(self._messages.MetricRequest(metric_name=name), timeout=TIMEOUT_S)
        except Exception as error:  # grpc.RpcError: the module is not imported here
            code = getattr(getattr(error, "code", lambda: None)(), "name", "")
            if code in ("NOT_FOUND", "INVALID_ARGUMENT", "UNIMPLEMENTED"):
                return {}
            self.close()
            if code == "UNAVAILABLE":
                raise UnreadableError(f"nobody serves TPU metrics at {self._service}: libtpu does while a workload holds the chips") from None
            raise UnreadableError(f"the TPU runtime's metric service: {code or words(error)}") from None
        return {each.attribute.value.int_attr: each.gauge.as_double or each.gauge.as_int for each in told.metric.metrics}


def spread(by_chip: dict[int, float], devices: list[int]) -> dict[int, float]:
    """A duty cycle is told for a chip, memory for a device: each chip's goes to its devices in their order. Empty when they do not divide."""
    if not by_chip or len(devices) % len(by_chip):
        return {}
    each = len(devices) // len(by_chip)
    chips = [value for _, value in sorted(by_chip.items())]
    return {device: chips[place // each] for place, device in enumerate(devices)}
