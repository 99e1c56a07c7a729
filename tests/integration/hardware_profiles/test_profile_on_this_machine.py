"""The profile on the machine at hand: results are checked, nothing is left behind. No test depends on how fast it is."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from stack.hardware_profiles.collect import collect_inventory
from stack.hardware_profiles.profile import Group, Settings, Status, direct_io, fio, load_profile, run_profile
from stack.hardware_profiles.profile.collectives import SIZES, measure_collectives
from stack.hardware_profiles.profile.conditions import Watch
from stack.hardware_profiles.profile.device import open_device
from stack.hardware_profiles.profile.gemm import KINDS, Kind, Product, measure_kind
from stack.hardware_profiles.profile.memory import KERNELS, Arrays, measure_memory
from stack.hardware_profiles.profile.network import measure_network
from stack.hardware_profiles.profile.session import Session
from stack.hardware_profiles.profile.storage import measure_storage
from stack.hardware_profiles.profile.timing import host_clock

pytestmark = pytest.mark.slow
pytest.importorskip("torch")

SHAPE = (96, 160, 64)
MIB = 1 << 20
JUDGED = {Status.OK, Status.NOISY}


@pytest.fixture
def session() -> Session:
    inventory = collect_inventory()
    device = open_device("cpu", frozenset(Group), inventory)
    return Session(device=device, inventory=inventory, clock=host_clock, watch=Watch(), peak_of=lambda _what: (None, "not asked"), quick=True)


def kind_of(name: str) -> Kind:
    return next(kind for kind in KINDS if kind.name == name)


@pytest.mark.parametrize("name", [kind.name for kind in KINDS if kind.name not in {"tf32", "float8"}])
def test_a_right_product_passes_its_check_and_a_wrong_one_does_not(name: str):
    product = Product.make(kind_of(name), SHAPE, "cpu")
    product.call()
    assert product.fault() == ""
    middle = SHAPE[0] // 2, SHAPE[2] // 2
    # By about the size of an entry: sqrt(inner) standard deviations of the inputs' products.
    product.result[middle] += 1 if name == "int8" else 13
    assert "off by" in product.fault()


def test_a_product_that_was_never_computed_is_found():
    product = Product.make(kind_of("float32"), SHAPE, "cpu")
    product.call()
    product.result.zero_()
    assert "off by" in product.fault()


def test_a_data_type_is_swept_verified_and_judged(session: Session):
    result = measure_kind(session, kind_of("float32"), 1.0)
    assert result.status in JUDGED
    assert result.verified
    assert result.repetitions == len(result.samples_s) >= 3
    assert {point.threads for point in result.sweep} <= set(range(1, session.cores + 1))
    assert result.before is not None
    assert result.during is not None


def test_tf32_is_not_supported_on_a_cpu_and_says_so(session: Session):
    result = measure_kind(session, kind_of("tf32"), 1.0)
    assert (result.status, result.median) == (Status.NOT_SUPPORTED, None)


def test_a_type_that_torch_refuses_is_not_supported_with_its_words(session: Session, monkeypatch: pytest.MonkeyPatch):
    import torch

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError('"addmm_impl_cpu_" not implemented\nand a trace')

    monkeypatch.setattr(torch, "_int_mm", refuse)
    result = measure_kind(session, kind_of("int8"), 1.0)
    assert result.status is Status.NOT_SUPPORTED
    assert result.reason == 'torch: "addmm_impl_cpu_" not implemented'


def test_threads_are_as_before_afterwards(session: Session):
    import torch

    before = torch.get_num_threads()
    measure_kind(session, kind_of("float64"), 0.5)
    assert torch.get_num_threads() == before


def test_arrays_hold_golden_values_until_one_element_is_wrong():
    arrays = Arrays.make(1000, "cpu")
    kernels = list(arrays.kernels().values())
    for step in range(1, 12):
        kernels[(step - 1) % len(kernels)]()
        assert arrays.fault(step) == "", step
    arrays.b[500] *= 1.0001
    assert "array b is wrong" in arrays.fault(11)


def test_memory_is_measured_verified_with_arrays_that_no_cache_holds(session: Session):
    results = {result.name: result for result in measure_memory(session, 1.0)}
    assert set(results) == {f"memory.{kernel}" for kernel in KERNELS}
    cache = session.device.last_level_cache_bytes
    for result in results.values():
        if result.status is Status.SKIPPED:
            assert result.reason
            continue
        assert result.verified
        assert cache is not None
        assert result.shape[0] * 8 >= 4 * cache


def test_collectives_hold_the_right_values_and_their_processes_end(session: Session):
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    results = list(measure_collectives(session, 1.0))
    assert [result.name for result in results] == ["collective.all_reduce.gloo", "collective.all_gather.gloo"]
    for result in results:
        assert result.verified, result.reason
        assert [point.shape for point in result.sweep] == [(size,) for size in SIZES]
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_storage_is_measured_below_the_page_cache_and_leaves_nothing(session: Session, tmp_path: Path):
    results = list(direct_io.measure(session, tmp_path / "data", 8 * MIB, 0.5))
    (tmp_path / "data").unlink()
    write, read, random_read = results
    assert write.median
    if read.status is Status.NOT_SUPPORTED:
        pytest.skip(reason=f"this file system: {read.reason}")
    assert read.verified in {True, None}
    assert random_read.p99 is not None
    assert random_read.p99 >= (random_read.median or 0.0)
    assert list(tmp_path.iterdir()) == []


def test_reads_that_a_cache_answered_are_invalid(session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    counted = iter([0, MIB, 0, MIB])  # of far more that was read
    monkeypatch.setattr(direct_io, "fetched_bytes", lambda: next(counted))
    _, read, _ = direct_io.measure(session, tmp_path / "data", 8 * MIB, 0.1)
    assert read.status is Status.INVALID
    assert "cache" in read.reason


def test_a_file_system_without_direct_io_has_its_write_measured_only(session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(direct_io, "open_direct", lambda path: (os.open(path, os.O_RDWR | os.O_CREAT, 0o600), False))
    write, read, random_read = direct_io.measure(session, tmp_path / "data", 8 * MIB, 0.1)
    assert write.median
    assert read.status is random_read.status is Status.NOT_SUPPORTED
    assert "page cache" in read.reason


def test_memory_posing_as_a_disk_is_not_measured(session: Session):
    results = list(measure_storage(session, 1.0, Path("/dev/shm")))
    assert {result.status for result in results} == {Status.NOT_SUPPORTED}
    assert len(results) == 3


def test_a_disk_that_fails_half_way_keeps_what_was_measured(session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def fail(*_arguments: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fio, "installed", lambda: False)
    monkeypatch.setattr(direct_io, "_read", fail)
    results = list(measure_storage(session, 0.3, tmp_path))
    assert results[0].median
    assert [result.status for result in results[1:]] == [Status.SKIPPED, Status.SKIPPED]
    assert "input/output error" in results[1].reason
    assert list(tmp_path.iterdir()) == []


def test_loopback_is_named_as_such_and_its_peer_ends(session: Session, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    throughput, trip = measure_network(session, 0.5)
    assert "loopback" in throughput.name
    assert throughput.median
    assert trip.repetitions >= 200
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_only_what_was_asked_for_is_measured(tmp_path: Path):
    found = run_profile(Settings(groups=frozenset({Group.COPIES}), device="cpu", budget_s=5.0, storage_dir=tmp_path))
    assert [result.status for result in found.results] == [Status.NOT_SUPPORTED]
    assert found.complete
    assert found.engine.torch is not None


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "stack.cli.main", "profile", *arguments]


def test_the_command_writes_json_page_and_evidence(tmp_path: Path):
    out, evidence = tmp_path / "out", tmp_path / "evidence"
    arguments = ("--quick", "--json", "--only", "storage,network", "--storage-dir", str(tmp_path), "--out", str(out), "--evidence", str(evidence))
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode in {0, 1}, done.stderr
    told = json.loads(done.stdout)
    found = load_profile(out / "profile.json")
    assert told == found.model_dump(mode="json")
    assert (done.returncode == 1) == bool(found.doubtful)
    assert b"<html" in (out / "profile.html").read_bytes()
    assert len(list((evidence / "records").glob("profile-*.dsse.json"))) == 1
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".stackproof")]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--only", "gemm,disk"), "--only"),
        (("--only", ","), "--only"),
        (("--budget", "soon"), "--budget"),
        (("--budget", "1s"), "--budget"),
        (("--device", "tpu"), "--device"),
        (("--device", "cuda:99"), "--device"),
        (("--only", "storage", "--storage-dir", "/nowhere/at/all"), "--storage-dir"),
    ],
)
def test_a_wrong_option_is_one_line_and_status_2(arguments: tuple[str, ...], word: str):
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert word in last
    assert "Traceback" not in done.stderr


def test_without_torch_the_message_names_the_lock(tmp_path: Path):
    blocked = "import sys; from importlib.machinery import PathFinder as P; old = P.find_spec; "
    blocked += "P.find_spec = classmethod(lambda cls, name, *rest: None if name == 'torch' else old(name, *rest)); "
    blocked += "from stack.cli.main import main; sys.argv = ['stackproof', 'profile', '--only', 'gemm']; main()"
    done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert "torch is not installed" in done.stderr
    assert "bootstrap.py cpu" in done.stderr


def test_an_interrupted_profile_keeps_what_was_measured_and_says_so(tmp_path: Path):
    out = tmp_path / "out"
    process = subprocess.Popen(
        command("--only", "network,storage", "--budget", "60s", "--storage-dir", str(tmp_path), "--out", str(out)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # Storage comes first; its file appears when the first result is being timed.
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".stackproof-profile-*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    found = load_profile(out / "profile.json")
    assert not found.complete
    assert len(found.results) < 5
    assert not list(tmp_path.glob(".stackproof-profile-*"))
