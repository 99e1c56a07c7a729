from pathlib import Path

import pytest

from stack.serving.errors import ModelChangedError
from stack.serving.formats import check_formats, is_allowed, is_dangerous


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("pytorch_model.bin", b"\x80\x04.", "not a kind of file a model may have"),
        ("tokenizer.py", b"", "not a kind of file a model may have"),
        ("config.json", b'{"auto_map": {"AutoModel": "evil--modeling.Evil"}}', "names code to run"),
        ("config.json", b'{"nested": {"auto\\u005fmap": {}}}', "names code to run"),
        ("config.json", b'{"trust_remote_code": true}', "names code to run"),
        ("tokenizer_config.json", b"{", "not JSON"),
        ("vocab.txt", b"\x80\x04\x95.", "begins like a pickle or a program"),
        ("tokenizer.model", b"PK\x03\x04", "begins like a pickle or a program"),
        ("README.md", b"#!/bin/sh", "begins like a pickle or a program"),
        ("m.safetensors", b"", "not a well-formed safetensors file"),
    ],
)
def test_a_format_that_could_carry_code_or_confuse_a_reader_is_refused(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelChangedError, match=told):
        check_formats(tmp_path)


def test_a_word_of_a_vocabulary_is_not_taken_for_code(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"model": {"vocab": {"auto_map": 17, "trust_remote_code": 18}}}')
    check_formats(tmp_path)


def test_links_and_folders_have_no_place_in_a_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").symlink_to("/etc/hostname")
    with pytest.raises(ModelChangedError, match=r"config\.json: not a kind of file"):
        check_formats(tmp_path)


@pytest.mark.parametrize("name", ["../config.json", ".config.json", "a/config.json", "config.json\n", "", "x" * 200 + ".json", "con fig.json"])
def test_only_plain_names_are_names(name: str) -> None:
    assert not is_allowed(name)


def test_weights_that_are_pickles_are_known_by_their_suffix() -> None:
    assert {is_dangerous(name) for name in ("pytorch_model.bin", "consolidated.00.pth", "x.PKL")} == {"pickled or opaque weights"}
    assert is_dangerous("modeling_x.py") == "code"
    assert is_dangerous("model.safetensors") is None
