"""An inventory says what the machine says, and why where it says nothing."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.hardware_profiles import Cache, Inventory, collect_inventory
from stack.hardware_profiles.accelerators.nvml import sysfs_address
from stack.hardware_profiles.cpu import CPU
from stack.hardware_profiles.summary import rows
from stack.hardware_profiles.tree import Tree, UnreadableError, as_integer, parse_cpu_list, parse_size

Files = dict[str, bytes]
Build = Callable[[Files], Path]


def test_cores_threads_and_sockets_are_counted_apart(machine: Path) -> None:
    cpu = collect_inventory(machine).cpu
    assert (cpu.sockets, cpu.physical_cores, cpu.logical_cores, cpu.numa_nodes) == (2, 4, 8, 2)
    assert cpu.model == "Intel(R) Xeon(R) Platinum 8480+"
    assert cpu.virtualized is False
    assert {"avx512_bf16", "amx_bf16", "amx_int8"} <= set(cpu.isa)
    assert "fpu" not in cpu.isa


def test_a_cache_shared_by_several_processors_counts_once(machine: Path) -> None:
    assert collect_inventory(machine).cpu.caches == (
        Cache(level=1, kind="data", size_bytes=48 << 10, instances=4),
        Cache(level=3, kind="unified", size_bytes=105 << 20, instances=2),
    )


def test_the_tightest_of_affinity_and_control_group_bounds_the_usable_cores(machine: Path) -> None:
    cpu = collect_inventory(machine).cpu
    assert (cpu.allowed_cores, cpu.limit_cores, cpu.usable_cores) == (6, 4.5, 4.5)


def test_the_limit_of_a_version_2_group_is_found(machine: Path) -> None:
    memory = collect_inventory(machine).memory
    assert memory.total_bytes == 1056784708 * 1024
    assert memory.limit_bytes == memory.usable_bytes == 64 << 30


def test_the_tightest_group_on_the_way_up_counts_in_version_1(build: Build, machine_files: Files) -> None:
    content = {path: data for path, data in machine_files.items() if not path.startswith("sys/fs/cgroup")}
    content["proc/self/cgroup"] = b"4:memory:/outer/inner\n1:cpu,cpuacct:/outer\n0::/\n"
    content["sys/fs/cgroup/memory/memory.limit_in_bytes"] = b"9223372036854771712\n"
    content["sys/fs/cgroup/memory/outer/memory.limit_in_bytes"] = b"1000000\n"
    content["sys/fs/cgroup/memory/outer/inner/memory.limit_in_bytes"] = b"9223372036854771712\n"
    content["sys/fs/cgroup/cpu/outer/cpu.cfs_quota_us"] = b"150000\n"
    content["sys/fs/cgroup/cpu/outer/cpu.cfs_period_us"] = b"100000\n"
    found = collect_inventory(build(content))
    assert found.memory.limit_bytes == 1000000
    assert found.cpu.limit_cores == 1.5


def test_a_group_without_a_limit_gives_none_and_no_complaint(build: Build, machine_files: Files) -> None:
    found = collect_inventory(build({**machine_files, "sys/fs/cgroup/kubepods/pod1/memory.max": b"max\n"}))
    assert found.memory.limit_bytes is None
    assert found.reason("memory.limit_bytes") == ""


def test_disks_are_described_and_devices_without_hardware_left_out(machine: Path) -> None:
    (disk,) = collect_inventory(machine).storage
    assert (disk.device, disk.model, disk.transport, disk.rotational) == ("nvme0n1", "Dell Ent NVMe PM1743", "nvme", False)
    assert disk.size_bytes == 15002931888 * 512
    assert disk.file_systems == ("ext4",)


def test_an_unknown_link_speed_is_none_with_a_reason(machine: Path) -> None:
    found = collect_inventory(machine)
    fast, virtual = sorted(found.network, key=lambda each: each.virtual)
    assert (fast.name, fast.speed_mbit_s, fast.driver, fast.state) == ("ens1f0", 100000, "mlx5_core", "up")
    assert virtual.speed_mbit_s is None
    assert "-1" in found.reason("network.docker0.speed_mbit_s")


def test_host_firmware_and_trust_anchors_are_read(machine: Path) -> None:
    host = collect_inventory(machine).host
    assert (host.vendor, host.product, host.firmware) == ("Dell Inc.", "PowerEdge XE9680", "Dell Inc. 2.5.4 01/15/2026")
    assert (host.virtualization, host.container, host.secure_boot, host.tpm) == ("none", "none", True, "2.x")


def test_a_gpu_without_a_driver_is_named_from_the_bus_and_the_management_graphics_is_not_an_accelerator(machine: Path) -> None:
    found = collect_inventory(machine)
    (gpu,) = found.accelerators
    assert (gpu.vendor, gpu.name, gpu.source, gpu.pci_bus) == ("NVIDIA", "GH100 [H100 SXM5 80GB]", "pci", "0000:17:00.0")
    assert gpu.memory_bytes is None
    assert found.reason("accelerators.0.memory_bytes")
    assert found.reason("accelerators.0.driver")


def test_identifiers_are_hashed_unless_asked_for(machine: Path) -> None:
    hidden, shown = collect_inventory(machine), collect_inventory(machine, identifiers=True)
    for secret in ("b8:ce:f6:00:00:01", "S6XNNE0X100001"):
        assert secret not in hidden.model_dump_json()
        assert secret in shown.model_dump_json()
    assert collect_inventory(machine).storage == hidden.storage


def test_the_hash_of_an_identifier_depends_on_the_machine(build: Build, machine_files: Files, machine: Path) -> None:
    other = collect_inventory(build({**machine_files, "etc/machine-id": b"another\n"}))
    assert other.storage[0].serial != collect_inventory(machine).storage[0].serial


def test_an_empty_tree_leaves_everything_unknown_and_says_why(tmp_path: Path) -> None:
    found = collect_inventory(tmp_path)
    assert found.cpu.model is found.cpu.logical_cores is found.memory.total_bytes is None
    assert found.storage == found.network == found.accelerators == ()
    for name in ("cpu.logical_cores", "cpu.physical_cores", "memory.total_bytes", "storage", "network", "host.vendor"):
        assert found.reason(name), name


def test_an_inventory_survives_its_json_form(machine: Path) -> None:
    found = collect_inventory(machine)
    assert Inventory.model_validate_json(found.model_dump_json()) == found


def test_the_table_names_the_accelerator_and_leaves_unknowns_open(machine: Path, tmp_path: Path) -> None:
    assert ("accelerator", "1 x GH100 [H100 SXM5 80GB], memory unknown, no driver library") in rows(collect_inventory(machine))
    empty = dict(rows(collect_inventory(tmp_path)))
    assert empty["CPU"] is None
    assert empty["memory available / limit"].startswith("? / ")  # type: ignore[union-attr]


def test_this_machine_is_read_in_half_a_second_without_torch() -> None:
    import subprocess
    import sys

    code = (
        "import time, sys; start = time.perf_counter(); from stack.hardware_profiles import collect_inventory;"
        "found = collect_inventory(); print(time.perf_counter() - start, bool(found.cpu.logical_cores), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    seconds, cores, torch = done.stdout.split()
    assert float(seconds) < 2.0  # 0.25 s on a quiet machine; the bound leaves room for a busy one
    assert (cores, torch) == ("True", "False")


DAMAGES = ("flip", "truncate", "remove", "folder", "fifo", "loop", "huge", "unreadable")


def damage(root: Path, path: str, kind: str, dice: random.Random) -> None:
    place = root / path
    data = bytearray(place.read_bytes())
    place.unlink()
    if kind == "flip":
        for _ in range(dice.randint(1, 4)):
            data[dice.randrange(len(data))] ^= dice.randrange(1, 256)
        place.write_bytes(data)
    elif kind == "truncate":
        place.write_bytes(data[: dice.randrange(len(data))])
    elif kind == "folder":
        place.mkdir()
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "loop":
        place.symlink_to(place.name)
    elif kind == "huge":
        place.write_bytes(b"9" * 10_000)
    elif kind == "unreadable":
        place.write_bytes(data)
        place.chmod(0)


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_files_never_raise_and_never_block(kind: str, build: Build, machine_files: Files) -> None:
    dice = random.Random(kind)
    for _ in range(12):
        root = build(machine_files)
        for path in dice.sample(sorted(machine_files), 12):
            damage(root, path, kind, dice)
        found = collect_inventory(root)
        assert Inventory.model_validate_json(found.model_dump_json()) == found
        rows(found)


@pytest.mark.parametrize("path", ["sys/block", "sys/class/net", f"{CPU}/cpu0/cache", "sys/bus/pci/devices"])
def test_a_folder_of_garbage_names_never_raises(path: str, build: Build, machine_files: Files) -> None:
    root = build(machine_files)
    for name in ("index\n", "a b", "ind\udcffex", "..."):
        (root / path / name).mkdir()
        (root / path / name / "address").write_bytes(b"x")
        (root / path / name / "device").symlink_to("../\udcff")
    assert collect_inventory(root).model_dump_json()


@given(st.text(max_size=40))
def test_parsers_of_kernel_formats_return_a_value_or_say_why_not(text: str) -> None:
    for parse in (as_integer, parse_cpu_list, parse_size):
        try:
            parse(text, where="/sys/x")
        except UnreadableError as error:
            assert "/sys/x" in str(error)  # noqa: PT017


@given(st.sets(st.integers(0, 300), min_size=1))
def test_a_list_of_processors_is_read_back_whole(cpus: set[int]) -> None:
    assert parse_cpu_list(",".join(f"{n}-{n}" if n % 2 else str(n) for n in cpus), where="x") == cpus


def test_an_absurd_range_of_processors_is_refused_at_once() -> None:
    with pytest.raises(UnreadableError, match="not a range of CPUs"):
        parse_cpu_list("0-99999999999", where="x")


def test_a_bus_address_of_nvml_is_that_of_sysfs() -> None:
    assert sysfs_address("00000000:1B:00.0") == "0000:1b:00.0"


def test_a_missing_machine_id_still_hides_identifiers(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    assert tree.identifier("secret").startswith("hmac:")
    assert tree.identifier("secret") == tree.identifier("secret") != Tree(tmp_path).identifier("secret")
