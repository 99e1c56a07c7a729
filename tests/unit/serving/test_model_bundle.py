"""Bundles: written here, loaded in an empty cache, and every hostile form refused with nothing left behind."""

import hashlib
import io
import resource
import tarfile
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from small_model import MODEL, write_model

from stack.runtime.errors import StackproofError
from stack.runtime.progress import Reporter
from stack.serving.bundle import load_bundle, write_bundle
from stack.serving.bundle_index import INDEX, Index, Member
from stack.serving.errors import ModelChangedError, ServingError
from stack.serving.pull import pull_model
from stack.serving.sources import DirectorySource
from stack.serving.tar_stream import END, header, padding
from stack.serving.weights import MANIFEST, model_dir, verify_model

QUIET = Reporter(StringIO())
TakeAcross = Callable[[], Path]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STACKPROOF_CACHE", str(tmp_path / "here"))
    pull_model(MODEL, QUIET, DirectorySource(write_model(tmp_path / "given")))
    write_bundle([MODEL], tmp_path / "out.tar", QUIET)
    return tmp_path / "out.tar"


@pytest.fixture
def across(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bundle, seen from a machine with an empty cache."""
    monkeypatch.setenv("STACKPROOF_CACHE", str(tmp_path / "there"))
    return written


def nothing_there() -> bool:
    return not list(model_dir("x").parent.glob("[!.]*")) and not list(model_dir("x").parent.glob(".*.part"))


def test_a_bundle_carries_a_model_to_an_empty_machine(across: Path) -> None:
    (loaded,) = load_bundle(across, QUIET)
    assert (loaded.name, loaded.signature_checked, loaded.same_entry) == (MODEL.name, False, True)
    assert verify_model(MODEL).source == "directory"
    assert sorted(path.name for path in model_dir(MODEL.name).iterdir()) == ["LICENSE", "config.json", "model.safetensors", MANIFEST]


def test_a_second_load_replaces_the_first(across: Path) -> None:
    load_bundle(across, QUIET)
    load_bundle(across, QUIET)
    assert verify_model(MODEL)
    assert not list(model_dir("x").parent.glob(".bundle-*"))


def test_equal_models_give_equal_bytes_without_a_path_of_the_machine(written: Path, tmp_path: Path) -> None:
    write_bundle([MODEL], tmp_path / "again.tar", QUIET)
    assert (tmp_path / "again.tar").read_bytes() == written.read_bytes()
    assert str(tmp_path).encode() not in written.read_bytes()


def test_tar_reads_a_bundle_and_its_sums_hold(written: Path) -> None:
    with tarfile.open(written, "r:") as tar:
        content = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]
        assert {(member.mtime, member.uid, member.mode, member.isreg()) for member in tar.getmembers()} == {(0, 0, 0o644, True)}
    assert next(iter(content)) == INDEX
    assert b"Llama 3.1 Community License" in content[f"{MODEL.name}/LICENCE.txt"]
    for line in content["SHA256SUMS"].decode().splitlines():
        digest, _, name = line.partition("  ")
        assert hashlib.sha256(content[name]).hexdigest() == digest


def test_a_model_changed_since_its_pull_is_not_bundled(written: Path, tmp_path: Path) -> None:
    weights = model_dir(MODEL.name) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    with pytest.raises(ModelChangedError, match=r"model\.safetensors: content is not"):
        write_bundle([MODEL], tmp_path / "changed.tar", QUIET)
    assert not (tmp_path / "changed.tar").exists()


def test_a_bundle_that_cannot_be_written_is_refused_before_the_model_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACKPROOF_CACHE", str(tmp_path / "empty"))  # to read the model would fail, and say so
    for out in (tmp_path, Path("/proc/x.tar")):
        with pytest.raises(StackproofError, match=rf"^--out {out}: ") as caught:
            write_bundle([MODEL], out, QUIET)
        assert caught.value.exit_status == 2


def test_a_disk_that_fills_while_a_bundle_is_written_is_one_line_and_the_old_bundle_stays(written: Path, tmp_path: Path) -> None:
    before, limits = written.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))  # the system refuses more, as a full disk does
    try:
        with pytest.raises(ServingError, match=r"out\.tar: ") as caught:
            write_bundle([MODEL], written, QUIET)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (caught.value.exit_status, "\n" in str(caught.value)) == (2, False)
    assert written.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


def test_any_flipped_byte_is_refused_and_nothing_appears(across: Path, tmp_path: Path) -> None:
    whole, changed = across.read_bytes(), tmp_path / "changed.tar"
    for place in range(0, len(whole), 397):
        data = bytearray(whole)
        data[place] ^= 0x20
        changed.write_bytes(data)
        with pytest.raises(ServingError) as caught:
            load_bundle(changed, QUIET)
        assert "\n" not in str(caught.value)
        assert nothing_there()


def test_a_changed_weight_is_told_with_its_file(across: Path) -> None:
    data = bytearray(across.read_bytes())
    data[-len(END) - 2000] ^= 1
    across.write_bytes(data)
    with pytest.raises(ModelChangedError, match=rf"{MODEL.name}/files/.*: content is not what its hash says") as caught:
        load_bundle(across, QUIET)
    assert caught.value.exit_status == 1


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_bundle_cut_short_is_refused(across: Path, share: float) -> None:
    data = across.read_bytes()
    across.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelChangedError):
        load_bundle(across, QUIET)
    assert nothing_there()


def member(name: str, **changes: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = 0
    for key, value in changes.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize(
    "hostile",
    [
        member("../../evil"),
        member("/etc/evil"),
        member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("hard", type=tarfile.LNKTYPE, linkname=INDEX),
        member("device", type=tarfile.CHRTYPE),
        member("pipe", type=tarfile.FIFOTYPE),
        member(INDEX),
        member("x" * 300),
    ],
    ids=lambda info: f"{info.type.decode()}-{info.name[:12]}",
)
@pytest.mark.parametrize("first", [True, False])
def test_a_hostile_member_before_or_after_the_rest_is_refused(across: Path, hostile: tarfile.TarInfo, first: bool) -> None:
    whole = across.read_bytes()
    block = hostile.tobuf(tarfile.PAX_FORMAT)
    across.write_bytes(block + whole if first else whole[: -len(END)] + block + END)
    with pytest.raises(ModelChangedError, match="not a whole bundle"):
        load_bundle(across, QUIET)
    assert nothing_there()


def test_a_compressed_file_is_no_bundle(across: Path) -> None:
    import gzip

    across.write_bytes(gzip.compress(across.read_bytes()))
    with pytest.raises(ModelChangedError, match="not a whole bundle"):
        load_bundle(across, QUIET)


def forged(index: Index, content: dict[str, bytes]) -> bytes:
    """A bundle as its own writer would write it, of files somebody chose."""
    out = io.BytesIO()
    described = index.model_dump_json(indent=1).encode() + b"\n"
    for name, data in ((INDEX, described), ("SHA256SUMS", index.sums()), *((path, content[path]) for path, _ in index.members())):
        out.write(header(name, len(data)) + data + padding(len(data)))
    return out.getvalue() + END


def taken_apart(path: Path) -> tuple[Index, dict[str, bytes]]:
    with tarfile.open(path, "r:") as tar:
        content = {info.name: tar.extractfile(info).read() for info in tar.getmembers()}  # type: ignore[union-attr]
    return Index.model_validate_json(content[INDEX]), content


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("evil.py", b"import os", "not a kind of file"),
        ("pytorch_model.bin", b"\x80\x02.", "not a kind of file"),
        ("tokenizer.json", b"{}", "not in the manifest"),
        ("config.json", b'{"auto_map": {}}', "manifest and the bundle's index disagree"),
    ],
)
def test_a_well_made_bundle_of_other_files_is_refused(across: Path, name: str, data: bytes, told: str) -> None:
    index, content = taken_apart(across)
    (model,) = index.models
    kept = tuple(each for each in model.files if each.name != name)
    added = Member(name=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    changed = Index(models=(model.model_copy(update={"files": (*kept, added)}),))
    across.write_bytes(forged(changed, {**content, f"{model.name}/files/{name}": data}))
    with pytest.raises(ModelChangedError, match=told):
        load_bundle(across, QUIET)
    assert nothing_there()


def test_a_bundle_that_would_fill_the_disk_is_refused_before_it_is_unpacked(across: Path) -> None:
    index, content = taken_apart(across)
    (model,) = index.models
    huge = tuple(each.model_copy(update={"size_bytes": 1 << 60}) if each.name == "model.safetensors" else each for each in model.files)
    across.write_bytes(forged(Index(models=(model.model_copy(update={"files": huge}),)), content))
    with pytest.raises(ServingError, match="more than is free"):
        load_bundle(across, QUIET)
    assert nothing_there()


def test_a_member_listed_twice_is_refused(across: Path) -> None:
    (model,) = taken_apart(across)[0].models
    twice = Index.model_construct(models=(model.model_copy(update={"files": (*model.files, model.files[0])}),))
    described = twice.model_dump_json(indent=1).encode()
    across.write_bytes(header(INDEX, len(described)) + described + padding(len(described)) + END)
    with pytest.raises(ModelChangedError, match="two members have the same name"):
        load_bundle(across, QUIET)


def test_a_size_beyond_eight_gib_keeps_its_place_in_a_header() -> None:
    with tarfile.open(fileobj=io.BytesIO(header("a/files/model.safetensors", 70 << 30) + bytes(1024)), mode="r:") as tar:
        assert tar.next().size == 70 << 30  # type: ignore[union-attr]
