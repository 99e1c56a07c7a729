"""Google's own messages (the package tpu-info) over a real local gRPC service of ours in place of libtpu's: not hardware."""

from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest

from stack.hardware_profiles.telemetry.readers import Reading
from stack.hardware_profiles.telemetry.tpu import TpuReader
from stack.hardware_profiles.tree import Tree, UnreadableError
from stack.runtime.net import free_port

pytestmark = pytest.mark.slow

grpc = pytest.importorskip("grpc")
messages = pytest.importorskip("tpu_info.proto.tpu_metric_service_pb2", reason="tpu-info comes with the development packages")
services = pytest.importorskip("tpu_info.proto.tpu_metric_service_pb2_grpc")

GIB = 1 << 30
ANSWERS: dict[str, dict[int, dict[str, Any]]] = {
    "tpu.runtime.hbm.memory.total.bytes": {0: {"as_int": 16 * GIB}, 1: {"as_int": 16 * GIB}},
    "tpu.runtime.hbm.memory.usage.bytes": {0: {"as_int": 0}, 1: {"as_int": 9 * GIB}},
    "tpu.runtime.tensorcore.dutycycle.percent": {0: {"as_double": 0.0}, 1: {"as_double": 87.5}},
}


class Runtime(services.RuntimeMetricServiceServicer):
    """Answers what it is given; a name that it does not have is NOT_FOUND."""

    def __init__(self, answers: dict[str, dict[int, dict[str, Any]]]) -> None:
        self.answers = answers

    def GetRuntimeMetric(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name is the service's
        if request.metric_name not in self.answers:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such metric")
        response = messages.MetricResponse()
        for device, gauge in self.answers[request.metric_name].items():
            response.metric.metrics.add(attribute={"key": "device-id", "value": {"int_attr": device}}, gauge=gauge)
        return response


@pytest.fixture
def runtime() -> Iterator[tuple[Runtime, str]]:
    found, address = Runtime(dict(ANSWERS)), f"localhost:{free_port()}"
    server = grpc.server(futures.ThreadPoolExecutor(2))
    services.add_RuntimeMetricServiceServicer_to_server(found, server)
    server.add_secure_port(address, grpc.local_server_credentials())
    server.start()
    yield found, address
    server.stop(None)


@pytest.fixture
def machine(tmp_path: Path) -> Tree:
    """One TPU v5e on the bus, by its PCI numbers."""
    folder = tmp_path / "sys/bus/pci/devices/0000:00:05.0"
    folder.mkdir(parents=True)
    for name, text in {"vendor": "0x1ae0", "device": "0x0063", "class": "0x0880", "subsystem_device": "0x0063"}.items():
        (folder / name).write_text(text)
    return Tree(tmp_path)


def values(readings: tuple[Reading, ...], device: int) -> dict[str, float]:
    return {each.metric.removeprefix("stackproof_gpu_"): each.value for each in readings if each.labels[0] == str(device)}


def test_memory_and_duty_cycle_of_each_chip_are_told_and_an_idle_chip_is_0(runtime: tuple[Runtime, str], machine: Tree) -> None:
    readings = TpuReader(machine, runtime[1]).read()
    assert values(readings, 0) == {"memory_used_bytes": 0, "memory_total_bytes": 16 * GIB, "utilization_ratio": 0, "up": 1}
    assert values(readings, 1) == {"memory_used_bytes": 9 * GIB, "memory_total_bytes": 16 * GIB, "utilization_ratio": 0.875, "up": 1}
    assert {each.labels[1] for each in readings} == {"TPU v5e"}


def test_a_metric_that_a_release_does_not_know_is_absent_and_the_others_are_told(runtime: tuple[Runtime, str], machine: Tree) -> None:
    del runtime[0].answers["tpu.runtime.tensorcore.dutycycle.percent"]
    assert values(TpuReader(machine, runtime[1]).read(), 1) == {"memory_used_bytes": 9 * GIB, "memory_total_bytes": 16 * GIB, "up": 1}


def test_without_a_workload_nobody_serves_and_the_reason_says_so(machine: Tree) -> None:
    with pytest.raises(UnreadableError, match=r"nobody serves TPU metrics at localhost:[0-9]+: libtpu does while a workload holds the chips"):
        TpuReader(machine, f"localhost:{free_port()}").read()


def test_a_runtime_that_names_no_device_is_a_reason(runtime: tuple[Runtime, str], machine: Tree) -> None:
    runtime[0].answers.clear()
    with pytest.raises(UnreadableError, match="names no device"):
        TpuReader(machine, runtime[1]).read()


def test_a_workload_that_comes_later_is_found_by_the_same_reader(machine: Tree) -> None:
    address = f"localhost:{free_port()}"
    reader = TpuReader(machine, address)
    with pytest.raises(UnreadableError):
        reader.read()
    server = grpc.server(futures.ThreadPoolExecutor(1))
    services.add_RuntimeMetricServiceServicer_to_server(Runtime(dict(ANSWERS)), server)
    server.add_secure_port(address, grpc.local_server_credentials())
    server.start()
    try:
        assert values(reader.read(), 1)["up"] == 1
    finally:
        server.stop(None)
