"""NVIDIA GPUs at this moment (edge). Power comes in mW, energy since the driver was loaded in mJ, clocks in MHz, NVLink in KiB."""

import contextlib
from collections.abc import Collection, Iterator

import pynvml

from stack.hardware_profiles.accelerators.nvml.library import words
from stack.hardware_profiles.telemetry.asking import Device, Inquiry, Question, any_answer, single
from stack.hardware_profiles.telemetry.metrics import METRICS
from stack.hardware_profiles.telemetry.mig import MigInstances, word
from stack.hardware_profiles.telemetry.readers import Reading
from stack.hardware_profiles.telemetry.xid import XidEvents
from stack.hardware_profiles.tree import Tree, UnreadableError

THROTTLE_REASONS = {
    pynvml.nvmlClocksEventReasonGpuIdle: "idle",
    pynvml.nvmlClocksEventReasonApplicationsClocksSetting: "application_clocks",
    pynvml.nvmlClocksEventReasonSwPowerCap: "power_cap",
    pynvml.nvmlClocksEventReasonHwSlowdown: "hardware_slowdown",
    pynvml.nvmlClocksEventReasonSyncBoost: "sync_boost",
    pynvml.nvmlClocksEventReasonSwThermalSlowdown: "thermal_software",
    pynvml.nvmlClocksEventReasonHwThermalSlowdown: "thermal_hardware",
    pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown: "power_brake",
    pynvml.nvmlClocksEventReasonDisplayClockSetting: "display_clocks",
}
ALL_LINKS = 0xFFFFFFFF
"""The scope that sums a counter over all NVLinks."""

FIELDS: dict[str, tuple[int | tuple[int, int], int]] = {
    "stackproof_gpu_memory_temperature_celsius": (pynvml.NVML_FI_DEV_MEMORY_TEMP, 1),
    "stackproof_gpu_nvlink_transmitted_bytes_total": ((pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, ALL_LINKS), 1024),
    "stackproof_gpu_nvlink_received_bytes_total": ((pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX, ALL_LINKS), 1024),
    "stackproof_gpu_pcie_transmitted_bytes_total": (pynvml.NVML_FI_DEV_PCIE_COUNT_TX_BYTES, 1),
    "stackproof_gpu_pcie_received_bytes_total": (pynvml.NVML_FI_DEV_PCIE_COUNT_RX_BYTES, 1),
}
"""What is asked in one call: the field, and what its unit is in ours."""

WIDE = {pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal", pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal"}
NARROW = {pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal", pynvml.NVML_VALUE_TYPE_SIGNED_INT: "siVal"}


class NvmlReader:
    """All GPUs that the library counts, and their MIG instances. A question that a GPU does not answer costs that value alone.

    `wanted` names the metrics to ask for. When no GPU answers any more the library is let go and opened again at the next reading,
    so that a driver that comes back is found.
    """

    def __init__(self, wanted: Collection[str] = METRICS) -> None:
        self._tree = Tree()
        self._wanted = frozenset(wanted)
        self._inquiry = Inquiry("nvml", [question for question in QUESTIONS if self._wanted.intersection(question[0])])
        self._gpus: list[Device] | None = None
        self._xid = XidEvents([])
        self._instances = MigInstances(self._tree)

    def read(self) -> tuple[Reading, ...]:
        """UnreadableError when there is no library, no driver, no GPU, or none that answers anything."""
        if self._gpus is None:
            self._open()
        found = [reading for gpu in self._gpus or () for reading in self._inquiry.readings(gpu)]
        if not any_answer(found):
            self.close()
            raise UnreadableError("NVML: no GPU answers")
        if "stackproof_gpu_mig_memory_used_bytes" in self._wanted:
            found += self._instances.read(self._gpus or ())
        if "stackproof_gpu_xid_errors_total" in self._wanted:
            found += self._xid.read()
        return tuple(reading for reading in found if reading.metric in self._wanted)

    def close(self) -> None:
        if self._gpus is not None:
            self._gpus = None
            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()

    def _open(self) -> None:
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise UnreadableError(words(error)) from None
        self._gpus = []  # from here on there is something to close
        try:
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError as error:
            self.close()
            raise UnreadableError(words(error)) from None
        if not count:
            self.close()
            raise UnreadableError("NVML: no GPU on this host")
        self._gpus = [_gpu(self._tree, index) for index in range(count)]
        self._xid = XidEvents([(gpu.labels, gpu.handle) for gpu in self._gpus if gpu.handle is not None])
        self._instances = MigInstances(self._tree)


def _gpu(tree: Tree, index: int) -> Device:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    except pynvml.NVMLError:
        return Device((str(index), "", ""), None)
    uuid = word(pynvml.nvmlDeviceGetUUID, handle)
    return Device((str(index), word(pynvml.nvmlDeviceGetName, handle), uuid and tree.identifier(uuid)), handle)


def _utilization(gpu: Device) -> Iterator[Reading]:
    rates = pynvml.nvmlDeviceGetUtilizationRates(gpu.handle)
    yield Reading("stackproof_gpu_utilization_ratio", rates.gpu / 100, gpu.labels)
    yield Reading("stackproof_gpu_memory_utilization_ratio", rates.memory / 100, gpu.labels)


def _memory(gpu: Device) -> Iterator[Reading]:
    memory = pynvml.nvmlDeviceGetMemoryInfo(gpu.handle)
    yield Reading("stackproof_gpu_memory_used_bytes", memory.used, gpu.labels)
    yield Reading("stackproof_gpu_memory_total_bytes", memory.total, gpu.labels)


def _throttle(gpu: Device) -> Iterator[Reading]:
    active = pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu.handle)
    for bit, reason in THROTTLE_REASONS.items():
        yield Reading("stackproof_gpu_throttle_active", float(bool(active & bit)), (*gpu.labels, reason))


def _ecc(gpu: Device) -> Iterator[Reading]:
    for kind, number in (("corrected", pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED), ("uncorrected", pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED)):
        count = pynvml.nvmlDeviceGetTotalEccErrors(gpu.handle, number, pynvml.NVML_VOLATILE_ECC)
        yield Reading("stackproof_gpu_ecc_errors_total", count, (*gpu.labels, kind))


def _fields(gpu: Device) -> Iterator[Reading]:
    answers = pynvml.nvmlDeviceGetFieldValues(gpu.handle, [field for field, _ in FIELDS.values()])
    for (metric, (_, unit)), answer in zip(FIELDS.items(), answers, strict=True):
        # A counter of 32 bits wraps several times a second at the speed of these links.
        kind = (WIDE if metric.endswith("_total") else WIDE | NARROW).get(answer.valueType)
        if answer.nvmlReturn == pynvml.NVML_SUCCESS and kind is not None:
            yield Reading(metric, getattr(answer.value, kind) * unit, gpu.labels)


QUESTIONS: tuple[Question, ...] = (
    (("stackproof_gpu_utilization_ratio", "stackproof_gpu_memory_utilization_ratio"), _utilization),
    (("stackproof_gpu_memory_used_bytes", "stackproof_gpu_memory_total_bytes"), _memory),
    single("stackproof_gpu_power_watts", pynvml.nvmlDeviceGetPowerUsage, 1e-3),
    single("stackproof_gpu_power_limit_watts", pynvml.nvmlDeviceGetEnforcedPowerLimit, 1e-3),
    single("stackproof_gpu_energy_joules_total", pynvml.nvmlDeviceGetTotalEnergyConsumption, 1e-3),
    single("stackproof_gpu_temperature_celsius", lambda handle: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)),
    single("stackproof_gpu_sm_clock_hertz", lambda handle: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM), 1e6),
    single("stackproof_gpu_memory_clock_hertz", lambda handle: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM), 1e6),
    (("stackproof_gpu_throttle_active",), _throttle),
    (("stackproof_gpu_ecc_errors_total",), _ecc),
    (tuple(FIELDS), _fields),
)
