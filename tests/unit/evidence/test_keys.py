"""The signing key is made once, kept private, and never shown."""

from pathlib import Path

import pytest

from stack.evidence import load_or_create_key
from stack.runtime.errors import StackproofError


def test_a_key_is_made_on_first_use_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "config" / "signing_key.pem"
    first = load_or_create_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_key(path).public.key_id == first.public.key_id


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "k.pem"
    load_or_create_key(path)
    path.chmod(0o644)
    with pytest.raises(StackproofError, match="chmod 600"):
        load_or_create_key(path)


def test_garbage_in_place_of_a_key_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "k.pem"
    path.write_text("garbage")
    path.chmod(0o600)
    with pytest.raises(StackproofError, match="is not an unencrypted PEM private key"):
        load_or_create_key(path)
