import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stack.runtime.files import sha256_file
from stack.serving.errors import ModelChangedError, ServingError
from stack.serving.models import CI_MODEL, find_model
from stack.serving.weights import MANIFEST, Manifest, ModelFile, check_formats, model_dir, read_manifest, verify_model

MODEL = find_model(CI_MODEL)


def safetensors(header: object, data: bytes) -> bytes:
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + data


GOOD = safetensors({"__metadata__": {"format": "pt"}, "a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, b"1234")


@pytest.fixture
def pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small folder in the shape that a pull leaves."""
    monkeypatch.setenv("STACKPROOF_CACHE", str(tmp_path))
    place = model_dir(MODEL.name)
    place.mkdir(parents=True)
    (place / "model.safetensors").write_bytes(GOOD)
    (place / "config.json").write_text('{"model_type": "llama"}')
    files = {path.name: ModelFile(sha256=sha256_file(path), size_bytes=path.stat().st_size) for path in place.iterdir()}
    manifest = Manifest(model=MODEL.name, source_sha256=MODEL.source.sha256, tools={}, files=files)
    (place / MANIFEST).write_text(manifest.model_dump_json())
    return place


def test_an_untouched_model_verifies(pulled: Path) -> None:
    assert verify_model(MODEL) == read_manifest(MODEL)
    assert read_manifest(MODEL).weights_bytes == len(GOOD)


def flip(place: Path) -> None:
    data = bytearray((place / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (place / "model.safetensors").write_bytes(data)


def link(place: Path) -> None:
    (place / "config.json").rename(place.parent / "elsewhere.json")
    (place / "config.json").symlink_to(place.parent / "elsewhere.json")


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (flip, "model.safetensors: content is not what was pulled"),
        (link, "config.json: content is not what was pulled"),
        (lambda place: (place / "config.json").unlink(), "config.json: missing"),
        (lambda place: (place / "modeling_llama.py").write_text("import os"), "modeling_llama.py: not in the manifest"),
        (lambda place: (place / MANIFEST).write_text("{}"), f"{MANIFEST}: field `model`"),
    ],
)
def test_any_change_is_found_and_its_file_named(pulled: Path, tamper: Callable[[Path], object], told: str) -> None:
    tamper(pulled)
    with pytest.raises(ModelChangedError, match=told) as caught:
        verify_model(MODEL)
    assert caught.value.exit_status == 1


def test_a_model_that_was_not_pulled_says_how_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACKPROOF_CACHE", str(tmp_path))
    with pytest.raises(ServingError, match=f"run `stackproof models pull {MODEL.name}`") as caught:
        verify_model(MODEL)
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("pytorch_model.bin", b"\x80\x04.", "not a kind of file a model may have"),
        ("tokenizer.py", b"", "not a kind of file a model may have"),
        ("config.json", b'{"auto_map": {"AutoModel": "evil--modeling.Evil"}}', "names code to run"),
        ("config.json", b'{"nested": {"auto\\u005fmap": {}}}', "names code to run"),
        ("tokenizer_config.json", b"{", "not JSON"),
        ("m.safetensors", b"", "not a well-formed safetensors file"),
        ("m.safetensors", (1 << 62).to_bytes(8, "little") + b"{}", "not a well-formed safetensors file"),
        ("m.safetensors", safetensors([], b""), "not a well-formed safetensors file"),
        ("m.safetensors", safetensors({"a": {"data_offsets": [0, 4]}}, b"12345"), "offsets do not tile the file"),
        ("m.safetensors", safetensors({"a": {"data_offsets": [0, 4]}, "b": {"data_offsets": [2, 6]}}, b"123456"), "offsets do not tile the file"),
        ("m.safetensors", safetensors({"a": {"data_offsets": [0, 2]}, "b": {"data_offsets": [4, 6]}}, b"123456"), "offsets do not tile the file"),
    ],
)
def test_a_format_that_could_carry_code_or_confuse_a_reader_is_refused(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelChangedError, match=told):
        check_formats(tmp_path)
