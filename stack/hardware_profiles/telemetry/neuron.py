"""AWS Inferentia and Trainium at this moment, by the stream of `neuron-monitor` (edge: one child process; the rest is a parser).

The tool writes a JSON report a line for as long as it runs, as AWS's user guide for it shows. It tells utilization and memory of running
applications alone, so an idle device has neither; power, temperature and clocks are not in its reports.
"""

import json
import os
import select
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stack.hardware_profiles.accelerators.answers import number, part, text, whole
from stack.hardware_profiles.accelerators.tools import find_tool
from stack.hardware_profiles.telemetry.asking import driver_loaded
from stack.hardware_profiles.telemetry.readers import Reading
from stack.hardware_profiles.tree import Tree, UnreadableError
from stack.runtime.process import Child

TOOL = "neuron-monitor"
PATIENCE_S = 5.0
MOST_BYTES = 4 << 20
GRACE_S = 2.0
CONFIGURATION = {
    "period": "1s",
    "neuron_runtimes": [{"tag_filter": ".*", "metrics": [{"type": "neuroncore_counters"}, {"type": "memory_used"}]}],
    "system_metrics": [{"type": "neuron_hw_counters"}],
}
ECC = {"corrected": ("mem_ecc_corrected", "sram_ecc_corrected"), "uncorrected": ("mem_ecc_uncorrected", "sram_ecc_uncorrected")}


class NeuronReader:
    """Keeps the tool running; each reading is its newest report. A tool that ended is started again at the next reading."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._child: Child | None = None
        self._pipe = -1
        self._rest = b""

    def read(self) -> tuple[Reading, ...]:
        driver_loaded(self._tree, "neuron")
        if self._child is None:
            self._start()
        try:
            return readings(self._newest())
        except UnreadableError:
            self.close()
            raise

    def close(self) -> None:
        if self._child is not None:
            self._child.stop()
        if self._pipe >= 0:
            os.close(self._pipe)
        if self._folder is not None:
            self._folder.cleanup()
        self._child, self._pipe, self._folder, self._rest = None, -1, None, b""

    def _start(self) -> None:
        path = find_tool(TOOL)
        if path is None:
            raise UnreadableError(f"{TOOL} is not installed")
        self._folder = tempfile.TemporaryDirectory(prefix="stackproof-neuron-")
        configuration, pipe = Path(self._folder.name) / "monitor.json", Path(self._folder.name) / "reports"
        configuration.write_text(json.dumps(CONFIGURATION))
        os.mkfifo(pipe, 0o600)
        # Opened before the child writes, without waiting for it: a file would grow for as long as the exporter runs.
        self._pipe = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        self._child = Child.start(TOOL, [path, "-c", str(configuration)], log=pipe, grace_s=GRACE_S)

    def _newest(self) -> str:
        """The last whole line that is a report, waited for when there is none; UnreadableError with the tool's words when none comes."""
        until, said = time.monotonic() + PATIENCE_S, ""
        while (left_s := until - time.monotonic()) > 0:
            lines = self._drain()
            for line in reversed(lines):
                if line.startswith("{"):
                    return line
                said = said or line
            if self._child is not None and self._child.exit_status is not None:
                raise UnreadableError(f"{TOOL} ended with status {self._child.exit_status}: {said[:200] or 'it said nothing'}")
            select.select([self._pipe], [], [], min(left_s, 0.5))
        raise UnreadableError(f"{TOOL} gave no report in {PATIENCE_S:g} s" + (f": {said[:200]}" if said else ""))

    def _drain(self) -> list[str]:
        """Whole lines that have come; what is begun is kept for the next time."""
        content = bytearray(self._rest)
        while len(content) < MOST_BYTES:
            try:
                more = os.read(self._pipe, 1 << 16)
            except BlockingIOError:
                break
            if not more:
                break
            content += more
        *lines, rest = content.split(b"\n")
        self._rest = b"" if len(rest) >= MOST_BYTES else bytes(rest)
        return [line.decode(errors="replace").strip() for line in lines if line.strip()]


def readings(report: str) -> tuple[Reading, ...]:
    """Of one line of the tool; UnreadableError when it names no device."""
    try:
        told = json.loads(report)
    except (ValueError, RecursionError):
        raise UnreadableError(f"{TOOL} printed no JSON") from None
    hardware = part(told, "neuron_hardware_info")
    count, name = whole(part(hardware, "neuron_device_count")) or 0, text(part(hardware, "neuron_device_type")) or ""
    if not count:
        raise UnreadableError(f"{TOOL}: {text(part(hardware, 'error')) or 'it names no device'}")
    labels = {device: (str(device), name, "") for device in range(count)}
    found = [Reading("stackproof_gpu_up", 1.0, each) for each in labels.values()]
    if size := whole(part(hardware, "neuron_device_memory_size")):
        found += [Reading("stackproof_gpu_memory_total_bytes", size, each) for each in labels.values()]
    for metric, values in _of_applications(told, cores_a_device(hardware)).items():
        found += [Reading(metric, value, labels[device]) for device, value in values.items() if device in labels]
    return (*found, *_errors(told, labels))


def cores_a_device(hardware: object) -> int | None:
    """As applications number them: several physical cores may stand for one logical core."""
    physical, together = whole(part(hardware, "neuroncore_per_device_count")), whole(part(hardware, "logical_neuroncore_config")) or 1
    return physical // together if physical and physical % together == 0 else None


def _of_applications(told: object, cores: int | None) -> dict[str, dict[int, float]]:
    """By device: the mean utilization of its cores, an unused one being idle, and the bytes that applications hold."""
    busy: dict[int, float] = defaultdict(float)
    held: dict[int, float] = defaultdict(float)
    for runtime in _list(part(told, "neuron_runtime_data")) if cores else ():
        for core, entry in _numbered(part(runtime, "report", "neuroncore_counters", "neuroncores_in_use")):
            if (percent := number(part(entry, "neuroncore_utilization"))) is not None:
                busy[core // (cores or 1)] += percent / 100 / (cores or 1)
        usage = part(runtime, "report", "memory_used", "neuron_runtime_used_bytes", "usage_breakdown", "neuroncore_memory_usage")
        for core, entry in _numbered(usage):
            held[core // (cores or 1)] += sum(size for value in entry.values() if (size := number(value)) is not None)
    return {"stackproof_gpu_utilization_ratio": busy, "stackproof_gpu_memory_used_bytes": held}


def _errors(told: object, labels: Mapping[int, tuple[str, ...]]) -> Iterator[Reading]:
    """DRAM and SRAM together."""
    for entry in _list(part(told, "system_data", "neuron_hw_counters", "neuron_devices")):
        device = whole(part(entry, "neuron_device_index"))
        for kind, fields in ECC.items() if device in labels else ():
            counts = [count for field in fields if (count := number(part(entry, field))) is not None]
            if counts:
                yield Reading("stackproof_gpu_ecc_errors_total", sum(counts), (*labels[device or 0], kind))


def _list(value: object) -> Iterable[Any]:
    return value if isinstance(value, list) else ()


def _numbered(value: object) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for key, entry in value.items() if isinstance(value, Mapping) else ():
        if (index := whole(key)) is not None and isinstance(entry, Mapping):
            yield index, entry
