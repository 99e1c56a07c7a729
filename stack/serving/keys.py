"""API keys: made at random, shown once, stored as hashes.

A key has 256 bits of entropy, so one SHA-256 is enough to store it: there is no dictionary to try.
"""

import hashlib
import hmac
import json
import logging
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from stack.evidence.record import Frozen
from stack.runtime.errors import describe_validation
from stack.runtime.files import write_atomic
from stack.serving.errors import ServingError
from stack.serving.models import SHA256_PATTERN
from stack.serving.tenants import CLASS_PATTERN, DEFAULT_CLASS, TENANT_PATTERN

PREFIX = "sp-"
RELOAD_S = 1.0


class ApiKey(Frozen):
    """What is kept of a key."""

    tenant: str = Field(pattern=TENANT_PATTERN)
    rate_class: str = Field(default=DEFAULT_CLASS, pattern=CLASS_PATTERN, description="One of the policy's `classes`")
    sha256: str = Field(pattern=SHA256_PATTERN, description="Of the key as clients send it")
    expires_at: AwareDatetime | None = Field(default=None, description="Null for a key that does not expire")


_KEYS = TypeAdapter(tuple[ApiKey, ...])


def new_key() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True)
class KeyRing:
    """The keys a gateway accepts."""

    keys: tuple[ApiKey, ...]

    def find(self, key: str, *, now: datetime | None = None) -> ApiKey | None:
        """What is kept of a valid key. Every stored hash is compared, in constant time, whichever matches."""
        presented, found = hash_key(key), None
        for each in self.keys:
            if hmac.compare_digest(each.sha256, presented):
                found = each
        if found is None or (found.expires_at is not None and found.expires_at <= (now or datetime.now(UTC))):
            return None
        return found

    def tenant_of(self, key: str, *, now: datetime | None = None) -> str | None:
        found = self.find(key, now=now)
        return found.tenant if found else None

    def current(self) -> "KeyRing":
        """Itself: a ring that does not change, where `WatchedKeys` follows a file."""
        return self


def write_keys(path: Path, keys: tuple[ApiKey, ...]) -> None:
    write_atomic(path, json.dumps(_KEYS.dump_python(keys, mode="json"), indent=2) + "\n", mode=0o600)


def read_keys(path: Path, classes: Collection[str] | None = None) -> KeyRing:
    """ServingError naming the file and the field when it is not a list of hashed keys, or names a class that is not one of `classes`."""
    try:
        keys = _KEYS.validate_json(path.read_bytes())
    except OSError as error:
        raise ServingError(f"key file {path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise ServingError(describe_validation(error, source=str(path))) from None
    for index, key in enumerate(keys):
        if classes is not None and key.rate_class not in classes:
            raise ServingError(f"{path}: field `{index}.rate_class`: the policy has no class {key.rate_class}; it has {', '.join(sorted(classes))}")
    return KeyRing(keys)


class WatchedKeys:
    """The keys of a file, read again when it changes: a key added or taken out counts after `RELOAD_S` at the latest."""

    def __init__(self, path: Path, classes: Collection[str]) -> None:
        """ServingError when the file cannot be read now."""
        self._path, self._classes = path, classes
        self._looked_s, self._seen = time.monotonic(), _stamp(path)
        self._ring: KeyRing | ServingError = read_keys(path, classes)

    def current(self) -> KeyRing:
        """ServingError as long as the file cannot be read: nobody is let in by keys that may have been revoked."""
        if time.monotonic() - self._looked_s >= RELOAD_S:
            self._looked_s = time.monotonic()
            stamp = _stamp(self._path)
            if stamp != self._seen or stamp is None:
                self._seen, self._ring = stamp, self._read()
        if isinstance(self._ring, ServingError):
            raise self._ring
        return self._ring

    def _read(self) -> "KeyRing | ServingError":
        try:
            return read_keys(self._path, self._classes)
        except ServingError as error:
            logging.getLogger(__name__).error("no request is let in: %s", error)  # one line says it
            return error


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written, replaced, or a symbolic link on the way is turned (Kubernetes Secrets)."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
