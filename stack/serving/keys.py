"""API keys: made at random, shown once, stored as hashes.

A key has 256 bits of entropy, so one SHA-256 is enough to store it: there is no dictionary to try.
"""

import hashlib
import hmac
import json
import secrets
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
from stack.serving.watched import Watched

PREFIX = "sp-"


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
        """Itself: a ring that does not change, where `watch_keys` follows a file."""
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


def watch_keys(path: Path, classes: Collection[str]) -> Watched[KeyRing]:
    """The keys of a file, followed; ServingError when it cannot be read now."""
    return Watched(path, lambda found: read_keys(found, classes), meanwhile="no request is let in")
