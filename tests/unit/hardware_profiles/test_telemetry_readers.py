import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.hardware_profiles.telemetry.host import DiskReader, HostReader, NetworkReader, TemperatureReader
from stack.hardware_profiles.telemetry.metrics import METRICS
from stack.hardware_profiles.telemetry.prometheus import families
from stack.hardware_profiles.telemetry.rapl import RaplReader
from stack.hardware_profiles.telemetry.readers import Reading, Source
from stack.hardware_profiles.telemetry.sampler import Sample, Sampler, ask
from stack.hardware_profiles.telemetry.xid import XidEvents
from stack.hardware_profiles.tree import UnreadableError

DISKSTATS = """\
   7       0 loop0 11 0 22 0 0 0 0 0 0 4 0 0 0 0 0 0 0
 253       0 vda 100 5 2048 30 50 7 4096 60 0 1500 90 0 0 0 0 0 0
 253       1 vda1 100 5 2048 30 50 7 4096 60 0 1500 90 0 0 0 0 0 0
"""
NETWORK = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     999       1    0    0    0     0          0         0      999       1    0    0    0     0       0          0
  eth0:    1000      10    3    0    0     0          0         0     2000      20    4    0    0     0       0          0
 veth1:      50       1    0    0    0     0          0         0       60       1    0    0    0     0       0          0
"""


def put(root: Path, where: str, text: str = "") -> None:
    (root / where).parent.mkdir(parents=True, exist_ok=True)
    (root / where).write_text(text)


def by_metric(readings: tuple[Reading, ...]) -> dict[str, float]:
    return {".".join([reading.metric, *reading.labels]): reading.value for reading in readings}


def test_whole_disks_are_read_and_their_parts_not_again(tmp_path: Path) -> None:
    put(tmp_path, "proc/diskstats", DISKSTATS)
    put(tmp_path, "sys/block/vda/device/model", "disk")
    assert by_metric(DiskReader(tmp_path).read()) == {
        "stackproof_host_disk_read_bytes_total.vda": 2048 * 512,
        "stackproof_host_disk_written_bytes_total.vda": 4096 * 512,
        "stackproof_host_disk_busy_seconds_total.vda": 1.5,
    }


def test_interfaces_with_hardware_are_read_and_in_a_container_all_but_loopback(tmp_path: Path) -> None:
    put(tmp_path, "proc/net/dev", NETWORK)
    assert {reading.labels[0] for reading in NetworkReader(tmp_path).read()} == {"eth0", "veth1"}
    put(tmp_path, "sys/class/net/eth0/device/vendor")
    assert by_metric(NetworkReader(tmp_path).read()) == {
        "stackproof_host_network_received_bytes_total.eth0": 1000,
        "stackproof_host_network_transmitted_bytes_total.eth0": 2000,
        "stackproof_host_network_errors_total.eth0.received": 3,
        "stackproof_host_network_errors_total.eth0.transmitted": 4,
    }


def test_sensors_are_named_by_chip_and_label_and_one_that_fails_is_left_out(tmp_path: Path) -> None:
    base = "sys/class/hwmon/hwmon2"
    put(tmp_path, f"{base}/name", "k10temp\n")
    put(tmp_path, f"{base}/temp1_input", "61500\n")
    put(tmp_path, f"{base}/temp1_label", "Tctl\n")
    put(tmp_path, f"{base}/temp2_input", "-4000\n")
    put(tmp_path, f"{base}/temp3_input", "broken\n")
    put(tmp_path, f"{base}/fan1_input", "900\n")
    assert by_metric(TemperatureReader(tmp_path).read()) == {
        "stackproof_host_temperature_celsius.k10temp (hwmon2).Tctl": 61.5,
        "stackproof_host_temperature_celsius.k10temp (hwmon2).temp2": -4.0,
    }


@pytest.mark.parametrize("reader", [DiskReader, NetworkReader, TemperatureReader])
def test_a_source_that_a_machine_lacks_has_a_reason(tmp_path: Path, reader: type) -> None:
    with pytest.raises(UnreadableError):
        reader(tmp_path).read()


@given(st.text(max_size=200) | st.lists(st.text(alphabet="0123456789 \n:abc-", max_size=60)).map("\n".join))
def test_any_text_in_proc_is_read_or_refused_with_a_reason(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    root = tmp_path_factory.mktemp("tree")
    put(root, "sys/block/vda/device/model", "disk")
    for where, reader in (("proc/diskstats", DiskReader(root)), ("proc/net/dev", NetworkReader(root))):
        put(root, where, text)
        sample = ask(Source("any", reader))
        assert bool(sample.readings) != bool(sample.reason)
        assert "Error" not in sample.reason  # refused by the reader, not by an accident


def test_the_busy_ratio_of_the_host_needs_a_reading_before() -> None:
    reader = HostReader()
    assert "stackproof_host_cpu_busy_ratio" not in by_metric(reader.read())
    assert 0 <= by_metric(reader.read())["stackproof_host_cpu_busy_ratio"] <= 1


def test_a_package_counter_that_wraps_goes_on(tmp_path: Path) -> None:
    put(tmp_path, "intel-rapl:0/name", "package-0\n")
    put(tmp_path, "intel-rapl:0/max_energy_range_uj", "100000000\n")
    reader, found = RaplReader(tmp_path), []
    for energy_uj in (90_000_000, 98_000_000, 6_000_000, 7_000_000, 1_000_000):
        put(tmp_path, "intel-rapl:0/energy_uj", f"{energy_uj}\n")
        found.append(by_metric(reader.read())["stackproof_host_cpu_energy_joules_total.package-0"])
    assert found == pytest.approx([90, 98, 106, 107, 201])


class Answers:
    def read(self) -> tuple[Reading, ...]:
        return (Reading("stackproof_host_swap_used_bytes", 1),)


class Breaks:
    def read(self) -> tuple[Reading, ...]:
        raise ValueError("a fault\nof two lines")


class Hangs:
    def __init__(self) -> None:
        self.free = threading.Event()

    def read(self) -> tuple[Reading, ...]:
        self.free.wait()
        return ()


def test_a_fault_in_a_source_is_its_reason_in_one_line() -> None:
    assert ask(Source("bad", Breaks())).reason == "ValueError: a fault of two lines"
    assert ask(Source("good", Answers())).reason == ""


def test_a_source_that_hangs_holds_up_no_other() -> None:
    hanging = Hangs()
    sampler = Sampler([Source("hangs", hanging), Source("answers", Answers())], every_s=0.01)
    sampler.start()
    try:
        while not sampler.samples()[1].readings:
            pass
        assert sampler.samples()[0].reason == "not asked yet"
    finally:
        sampler.stop()
        hanging.free.set()


def test_the_last_answer_of_a_source_that_hangs_is_taken_away_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = Sampler([Source("answers", Answers())], every_s=60)
    sampler.start()
    try:
        while not (found := sampler.samples()[0]).readings:
            pass
        monkeypatch.setattr("time.monotonic", lambda: found.taken_s + 181)
        assert sampler.samples()[0] == Sample("answers", reason="no answer for too long")
    finally:
        monkeypatch.undo()
        sampler.stop()


def test_a_source_that_fails_is_down_and_one_that_answers_has_its_readings() -> None:
    found = families([Sample("a", (Reading("stackproof_host_load_average", 1.5, ("1m",)),), "", 0.25), Sample("b")])
    samples = {(sample.name, *sample.labels.values()): sample.value for family in found for sample in family.samples}
    assert samples == {
        ("stackproof_source_up", "a"): 1,
        ("stackproof_source_up", "b"): 0,
        ("stackproof_source_read_seconds", "a"): 0.25,
        ("stackproof_host_load_average", "1m"): 1.5,
    }


def test_a_reading_outside_the_table_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        families([Sample("a", (Reading("stackproof_unheard_of", 1.0),), "")])
    assert "stackproof_unheard_of" not in METRICS


def test_without_the_library_there_are_no_events() -> None:
    assert list(XidEvents([]).read()) == []
