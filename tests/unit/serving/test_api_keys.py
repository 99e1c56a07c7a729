from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stack.serving.errors import ServingError
from stack.serving.keys import ApiKey, KeyRing, hash_key, new_key, read_keys, write_keys

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def ring(*, expires_at: datetime | None = None) -> tuple[KeyRing, str]:
    key, other = new_key(), new_key()
    return KeyRing((ApiKey(tenant="clinic", sha256=hash_key(key), expires_at=expires_at), ApiKey(tenant="school", sha256=hash_key(other)))), key


def test_a_key_belongs_to_its_tenant_and_a_changed_one_to_nobody() -> None:
    keys, key = ring()
    assert keys.tenant_of(key) == "clinic"
    for wrong in ("", key[:-1], key + "x", key.upper(), f" {key}", hash_key(key)):
        assert keys.tenant_of(wrong) is None


def test_a_key_ends_with_its_date() -> None:
    keys, key = ring(expires_at=NOW)
    assert keys.tenant_of(key, now=NOW - timedelta(seconds=1)) == "clinic"
    assert keys.tenant_of(key, now=NOW) is None


def test_keys_are_kept_as_hashes_in_a_file_only_the_owner_reads(tmp_path: Path) -> None:
    keys, key = ring(expires_at=NOW)
    path = tmp_path / "keys.json"
    write_keys(path, keys.keys)
    assert path.stat().st_mode & 0o777 == 0o600
    assert key not in path.read_text()
    assert read_keys(path) == keys


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "Invalid JSON"),
        ('[{"tenant": "a", "sha256": "12"}]', r"field `0\.sha256`"),
        ('[{"tenant": "A b", "sha256": "' + "0" * 64 + '"}]', r"field `0\.tenant`"),
        ('[{"tenant": "a", "sha256": "' + "0" * 64 + '", "expires_at": "2026-01-01T00:00:00"}]', r"field `0\.expires_at`: .*timezone"),
    ],
)
def test_a_wrong_key_file_names_its_field(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(ServingError, match=told):
        read_keys(path)
