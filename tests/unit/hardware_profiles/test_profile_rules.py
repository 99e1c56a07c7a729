"""What is measured, and what is refused: sizes, file systems, formulas, peaks. Nothing here measures."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.evidence import FigureClass
from stack.hardware_profiles import Accelerator, Cache
from stack.hardware_profiles.collect import collect_inventory
from stack.hardware_profiles.profile import Group, ProfileError, Settings, fio
from stack.hardware_profiles.profile.collectives import Team, bus_factor, task_for
from stack.hardware_profiles.profile.device import Device, last_level_cache, open_device
from stack.hardware_profiles.profile.gemm import KINDS, shapes, worth_trying
from stack.hardware_profiles.profile.memory import FACTOR, KERNELS, START, array_bytes, golden_values
from stack.hardware_profiles.profile.models import Point
from stack.hardware_profiles.profile.peaks import peaks_of
from stack.hardware_profiles.profile.storage import file_system, refusal, require_folder
from stack.hardware_profiles.tree import Tree
from stack.runtime.errors import StackproofError

MIB = 1 << 20
FLOAT16 = next(kind for kind in KINDS if kind.name == "float16")
# One job of fio 3.33 (Debian 12) on this project's machine: `fio --rw=randread --bs=4k --direct=1 --ioengine=psync --output-format=json`, cut.
FIO = {
    "fio version": "fio-3.33",
    "jobs": [
        {
            "job_runtime": 1000,
            "read": {
                "runtime": 1001,
                "total_ios": 14271,
                "clat_ns": {
                    "min": 28233,
                    "percentile": {"10.000000": 35072, "50.000000": 39680, "90.000000": 49920, "99.000000": 150528},
                },
            },
        }
    ],
}


def accelerator(name: str, memory_bytes: int) -> Accelerator:
    empty = dict.fromkeys(
        ["uuid", "pci_bus", "driver", "compute_capability", "power_limit_w", "max_sm_clock_mhz", "ecc_enabled", "mig_enabled"],
    )
    return Accelerator(index=0, vendor="NVIDIA", source="nvml", name=name, memory_bytes=memory_bytes, **empty)


def test_arrays_are_four_times_the_cache_and_no_cache_is_measured_as_memory():
    assert array_bytes(256 * MIB, None) == (1024 * MIB, "")
    assert array_bytes(1 * MIB, None) == (128 * MIB, "")
    size, reason = array_bytes(256 * MIB, 4096 * MIB)
    assert size is None
    assert "3072 MiB" in reason
    size, reason = array_bytes(None, 1 << 40)
    assert size is None
    assert "cache is unknown" in reason


def test_the_last_level_cache_is_all_its_instances_together():
    inventory = collect_inventory()
    caches = (
        Cache(level=1, kind="instruction", size_bytes=32 << 10, instances=64),
        Cache(level=2, kind="unified", size_bytes=MIB, instances=64),
        Cache(level=3, kind="unified", size_bytes=32 * MIB, instances=8),
    )
    assert last_level_cache(inventory.model_copy(update={"cpu": inventory.cpu.model_copy(update={"caches": caches})})) == 256 * MIB
    unknown = (*caches, Cache(level=4, kind="unified", size_bytes=None, instances=1))
    assert last_level_cache(inventory.model_copy(update={"cpu": inventory.cpu.model_copy(update={"caches": unknown})})) is None


@given(st.integers(0, 60))
def test_golden_values_are_those_of_running_the_kernels(steps: int):
    arrays, total = dict(zip("abc", ([value] * 3 for value in START), strict=True)), 0.0
    for step in range(steps):
        kernel = list(KERNELS)[step % 5]
        if kernel == "copy":
            arrays["c"] = list(arrays["a"])
        elif kernel == "scale":
            arrays["b"] = [FACTOR * each for each in arrays["c"]]
        elif kernel == "add":
            arrays["c"] = [x + y for x, y in zip(arrays["a"], arrays["b"], strict=True)]
        elif kernel == "triad":
            arrays["a"] = [y + FACTOR * z for y, z in zip(arrays["b"], arrays["c"], strict=True)]
        else:
            total = sum(arrays["a"]) / 3
    a, b, c, mean = golden_values(steps)
    assert (a, b, c) == (arrays["a"][0], arrays["b"][0], arrays["c"][0])
    assert mean == pytest.approx(total)


def test_a_product_that_would_take_over_a_second_is_not_tried():
    # float16 without instructions: 1.4 GFLOP/s at 256, so 2048 would take 12 s.
    known = [Point(shape=(256, 256, 256), threads=2, value=1.4, repetitions=2)]
    assert worth_trying(FLOAT16, (512, 512, 512), known, memory_bytes=None)
    assert not worth_trying(FLOAT16, (2048, 2048, 2048), known, memory_bytes=None)
    assert not worth_trying(FLOAT16, (512, 512, 512), known, memory_bytes=MIB)


def test_shapes_go_upward():
    found = shapes()
    assert found[0] == (192, 192, 192)
    works = [m * k * n for m, k, n in found]
    assert works == sorted(works)


def test_bus_bandwidth_follows_nccl_tests():
    assert bus_factor("all_reduce", 2) == 1.0
    assert bus_factor("all_reduce", 8) == pytest.approx(1.75)
    assert bus_factor("all_gather", 8) == pytest.approx(0.875)
    assert task_for("all_gather", 1 << 20, Team("gloo", 2)).work == 1 << 19


def test_memory_file_systems_are_told_apart_by_the_longest_mount_point(tmp_path: Path):
    mounts = tmp_path / "mountinfo"
    inner = tmp_path / "a b"
    inner.mkdir()
    spelled = str(inner).replace(" ", "\\040")
    mounts.write_text(f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:5 / {spelled} rw shared:3 master:1 - tmpfs tmpfs rw\nbroken\n")
    assert file_system(inner, mounts) == "tmpfs"
    assert file_system(tmp_path, mounts) == "ext4"
    assert file_system(tmp_path, tmp_path / "none") is None


def test_storage_in_memory_is_refused_and_a_missing_folder_is_the_users_mistake(tmp_path: Path):
    shared = Path("/dev/shm")
    assert file_system(shared) == "tmpfs"
    assert "is memory" in refusal(shared, MIB)
    with pytest.raises(ProfileError, match=r"--storage-dir .*no such folder"):
        require_folder(tmp_path / "none")
    assert "free" in refusal(tmp_path, 1 << 60)


def test_fios_output_is_read_after_its_warnings():
    job = fio.parse("fio: note: both iodepth >= 1 and synchronous I/O engine are selected\n" + json.dumps(FIO))
    assert fio.seconds_of(job, "read") == 1.0
    assert fio.latencies_us(job) == {"best": 28.233, "p10": 35.072, "median": 39.68, "p90": 49.92, "p99": 150.528}


WORDS = st.sampled_from(["read", "clat_ns", "percentile", "job_runtime", "min", "50.000000"])
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner))


@given(JSON | st.builds(lambda job: {"jobs": [job]}, st.dictionaries(WORDS, JSON)))
def test_output_that_is_not_fios_is_a_value_error(document: object):
    with pytest.raises(ValueError, match=r"\S"):
        fio.latencies_us(fio.parse(json.dumps(document)))


@given(JSON)
def test_a_running_time_is_a_positive_number_or_a_value_error(value: object):
    job = {"job_runtime": value, "read": value}
    if isinstance(value, int) and value > 0:
        assert fio.seconds_of(job, "read") == value / 1e3
    else:
        with pytest.raises(ValueError, match="running time"):
            fio.seconds_of({"job_runtime": value}, "read")


def test_a_gpus_peaks_come_from_the_catalog_with_their_source():
    device = Device("cuda:0", "NVIDIA H100 80GB HBM3", 50 * MIB, 80 << 30, accelerator("NVIDIA H100 80GB HBM3", 85520809984))
    peak_of = peaks_of(device, collect_inventory(), Tree())
    peak, reason = peak_of("bfloat16")
    assert peak is not None, reason
    assert 980_000 < peak.value < 1_000_000
    assert peak.kind is FigureClass.PUBLISHED
    assert "H100" in peak.source
    memory, _ = peak_of("memory")
    assert memory is not None
    assert 3300 < memory.value < 3400


def test_an_unknown_gpu_and_a_cpu_of_unknown_clock_have_no_peak_and_say_why(tmp_path: Path):
    device = Device("cuda:0", "Mystery", None, None, accelerator("Mystery 9000", 1 << 30))
    assert peaks_of(device, collect_inventory(), Tree())("bfloat16")[0] is None
    cpu = Device("cpu", "A CPU", None, None)
    peak, reason = peaks_of(cpu, collect_inventory(), Tree(tmp_path))("float32")
    assert peak is None
    assert reason
    assert peaks_of(cpu, collect_inventory(), Tree(tmp_path))("memory") == (None, "the number of memory channels is unknown")


@pytest.mark.parametrize("device", ["gpu", "cuda", "cuda:x", "cuda:1234", "CPU", ""])
def test_a_device_of_no_known_kind_is_refused(device: str):
    with pytest.raises(ProfileError, match=r"--device .*must be cpu or cuda:N"):
        open_device(device, frozenset({Group.STORAGE}), collect_inventory())


@pytest.mark.parametrize("budget", [0.0, 4.9, 1e9])
def test_a_budget_out_of_bounds_is_refused(budget: float):
    with pytest.raises(StackproofError, match=r"--budget"):
        Settings(budget_s=budget)
