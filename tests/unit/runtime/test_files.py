"""A file is whole or absent."""

import os
from pathlib import Path

import pytest

from stack.runtime.files import atomic_path, sha256_file, write_atomic


def test_a_failed_write_leaves_the_old_content_and_no_debris(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_atomic(target, "old")

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_secret_never_appears_with_a_wider_mode(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "key"
    write_atomic(target, b"secret", mode=0o600)
    assert target.stat().st_mode & 0o777 == 0o600


def test_hash_of_a_file_larger_than_one_chunk(tmp_path: Path) -> None:
    path = tmp_path / "zeros"
    path.write_bytes(bytes(3 << 20))
    assert sha256_file(path) == "bbd05cf6097ac9b1f89ea29d2542c1b7b67ee46848393895f5a9e43fa1f621e5"
