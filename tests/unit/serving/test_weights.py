import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stack.runtime.files import sha256_file
from stack.serving.errors import ModelChangedError, ServingError
from stack.serving.models import CI_MODEL, find_model
from stack.serving.weights import MANIFEST, Manifest, ModelFile, check_model, model_dir, read_manifest, verify_model

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


def test_files_of_another_model_are_refused_by_the_shape_they_state(pulled: Path) -> None:
    (pulled / "config.json").write_text('{"model_type": "llama", "hidden_size": 577}')
    manifest = read_manifest(MODEL)
    with pytest.raises(ModelChangedError, match="hidden_size is 577, the catalog's smollm2-135m-instruct has 576"):
        check_model(MODEL, manifest, pulled)
