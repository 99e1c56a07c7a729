"""The state of the machine around a measurement, read from trees of files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.hardware_profiles.profile.conditions import Usage, Watch, disturbance
from stack.hardware_profiles.profile.energy import Rapl, answering
from stack.hardware_profiles.profile.engine import loaded, settings, warnings
from stack.hardware_profiles.profile.peaks import highest_clock
from stack.hardware_profiles.tree import Tree

FILES = {
    "proc/loadavg": "0.25 0.30 0.40 1/100 4242\n",
    "proc/stat": "cpu  1000 100 500 8000 200 10 90 100 0 0\ncpu0 1 1 1 1 1 1 1 1\n",
    "proc/self/cgroup": "0::/pod\n",
    "sys/fs/cgroup/pod/cpu.stat": "usage_usec 5\nthrottled_usec 1500000\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "3000000\n",
    "sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "3700000\n",
    "sys/devices/system/cpu/cpufreq/policy1/scaling_cur_freq": "2000000\n",
    "sys/devices/system/cpu/cpufreq/policy1/cpuinfo_max_freq": "3500000\n",
    "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "3\n",
    "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": "4\n",
    "sys/class/thermal/thermal_zone0/temp": "41000\n",
    "sys/class/thermal/thermal_zone1/temp": "55500\n",
    "sys/class/powercap/intel-rapl:0/name": "package-0\n",
    "sys/class/powercap/intel-rapl:0/energy_uj": "900\n",
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj": "1000\n",
    "sys/class/powercap/intel-rapl:0:0/name": "core\n",
    "sys/class/powercap/intel-rapl:0:0/energy_uj": "7\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return Tree(tmp_path)


def usage(at: float, *, total: float, busy: float = 0.0, steal: float = 0.0, own: float = 0.0, throttled: float | None = 0.0) -> Usage:
    return Usage(at, total, busy, steal, own, throttled)


def test_load_clock_temperature_and_throttling_are_read(tree: Tree):
    found = Watch(tree).conditions()
    assert (found.load_1m, found.cpu_mhz, found.cpu_celsius, found.cpu_throttle_events) == (0.25, 2500.0, 55.5, 7)
    assert found.gpu_sm_mhz is None


def test_a_machine_that_tells_nothing_is_unknown_not_zero(tmp_path: Path):
    watch = Watch(Tree(tmp_path))
    assert set(watch.conditions().model_dump().values()) == {None}
    assert watch.usage() is None
    assert disturbance(watch.usage(), watch.usage()) is None


@pytest.mark.parametrize("name", ["proc/loadavg", "proc/stat", "sys/fs/cgroup/pod/cpu.stat", "sys/class/thermal/thermal_zone0/temp"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"cpu x y", b"-1"])
def test_a_broken_counter_is_unknown_and_the_others_are_read(tree: Tree, name: str, content: bytes):
    (tree.root / name).write_bytes(content)
    watch = Watch(tree)
    assert watch.conditions().cpu_mhz == 2500.0
    watch.usage()


def test_counters_of_cpu_time_become_seconds(tree: Tree):
    found = Watch(tree).usage(own_s=2.0)
    assert found is not None
    assert found.busy == pytest.approx(16.0)  # user, nice and system of 100 ticks a second; interrupts are no process
    assert found.total == pytest.approx(100.0)
    assert (found.steal, found.own, found.throttled) == (pytest.approx(1.0), 2.0, 1.5)


def test_what_others_used_is_the_machines_time_without_our_own():
    found = disturbance(usage(0.0, total=0.0), usage(10.0, total=20.0, busy=12.0, steal=1.0, own=9.0, throttled=0.25))
    assert found is not None
    assert (found.others_share, found.steal_share, found.throttled_s) == (pytest.approx(0.15), pytest.approx(0.05), 0.25)


def test_a_time_of_few_ticks_tells_no_share():
    found = disturbance(usage(0.0, total=0.0), usage(0.1, total=0.2, busy=0.2))
    assert found is not None
    assert (found.others_share, found.steal_share) == (None, None)


@given(st.floats(0.25, 100), st.floats(0, 100), st.floats(0, 100), st.floats(0, 100))
def test_shares_are_never_negative(seconds: float, busy: float, own: float, steal: float):
    found = disturbance(usage(0.0, total=0.0), usage(seconds, total=2 * seconds, busy=busy, own=own, steal=steal))
    assert found is not None
    assert found.others_share is not None
    assert found.others_share >= 0
    assert found.steal_share is not None
    assert found.steal_share >= 0


def test_energy_counts_packages_only_and_survives_a_wrap(tree: Tree):
    meter = answering(Rapl(tree))
    assert meter is not None
    before = meter.read()
    (tree.root / "sys/class/powercap/intel-rapl:0/energy_uj").write_text("100\n")
    assert meter.read() - before == pytest.approx(200e-6)  # 900 to the end at 1000, and 100 more


def test_without_a_readable_counter_there_is_no_meter(tree: Tree, tmp_path: Path):
    assert answering(Rapl(Tree(tmp_path / "nowhere"))) is None
    (tree.root / "sys/class/powercap/intel-rapl:0/energy_uj").unlink()
    assert answering(Rapl(tree)) is None


def test_the_highest_clock_of_any_core_counts_and_a_guest_has_none(tree: Tree, tmp_path: Path):
    assert highest_clock(tree) == pytest.approx(3.7e9)
    assert highest_clock(Tree(tmp_path / "nowhere")) is None


def test_settings_that_change_kernels_are_told_and_the_choice_of_a_gpu_is_not():
    found = settings({"OPENBLAS_CORETYPE": "Haswell", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "0", "HOME": "/root", "XMKL_A": "1"})
    assert set(found) == {"OPENBLAS_CORETYPE", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"}
    told = warnings(found)
    assert len(told) == 2
    assert "OMP_NUM_THREADS=1" in told[0]
    assert "OPENBLAS_CORETYPE=Haswell" in told[1]


def test_loaded_numerical_libraries_are_named_without_their_folders(tmp_path: Path):
    maps = tmp_path / "maps"
    maps.write_text("7f0-7f1 r-xp 00000000 fe:00 12 /opt/a b/libopenblas-x.so.0\n7f1-7f2 r--p 0 fe:00 13 /lib/libc.so.6\n7f3-7f4 rw-p 0 00:00 0\n")
    assert loaded(maps) == ("libopenblas-x.so.0",)
    assert loaded(tmp_path / "none") == ()
