"""The key of a dataset: 64 random bytes in a file that only its owner can read, and the keys derived from it."""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from stack.runtime.errors import StackproofError

KEY_BYTES = 64
FINGERPRINT_DIGITS = 16
"""Of 64 hexadecimal digits: enough to tell keys apart; HMAC gives nothing of the key away."""


class PrivacyError(StackproofError):
    """A key or a redacted text that cannot be used; the message says which and the mend."""


@dataclass(frozen=True)
class Key:
    """Never printed. Each purpose has a subkey of its own: HMAC-SHA512 of the purpose."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise PrivacyError(f"key: has {len(self.secret)} bytes, must have {KEY_BYTES}")

    def subkey(self, purpose: str) -> bytes:
        """64 bytes for one purpose."""
        return hmac.digest(self.secret, f"stackproof privacy {purpose}".encode(), hashlib.sha512)

    @property
    def fingerprint(self) -> str:
        """Tells two keys apart without telling either."""
        return self.subkey("fingerprint").hex()[:FINGERPRINT_DIGITS]

    def digest(self, kind: str, value: str) -> str:
        """HMAC-SHA256 of a value in hexadecimal: the same for the same kind, value and key."""
        return hmac.digest(self.subkey("pseudonym"), f"{kind}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256).hex()


def create_key(path: Path) -> Key:
    """Write a new key with mode 0600; an existing file is never replaced, since what it encrypted would be lost."""
    key = Key(secrets.token_bytes(KEY_BYTES))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(key.secret.hex() + "\n")
    except FileExistsError:
        raise PrivacyError(f"{path}: exists already; a key is never replaced, name another file") from None
    except OSError as fault:
        raise PrivacyError(f"{path}: the key cannot be written: {fault.strerror}") from None
    return key


def read_key(path: Path) -> Key:
    """The key in a file; refused when others than its owner, or a Kubernetes pod's own group, may read or write it."""
    try:
        with path.open("rb") as stream:
            status, content = os.fstat(stream.fileno()), stream.read(4 * KEY_BYTES)
    except OSError as fault:
        raise PrivacyError(f"{path}: the key cannot be read: {fault.strerror}") from None
    if status.st_mode & 0o077 and not _is_mounted(status):
        raise PrivacyError(f"{path}: others may use this key (mode {status.st_mode & 0o777:04o}); chmod 600 it")
    try:
        return Key(bytes.fromhex(content.decode("ascii")))
    except (ValueError, PrivacyError):
        raise PrivacyError(f"{path}: not a key: {2 * KEY_BYTES} hexadecimal digits are expected; create_key writes one") from None


def _is_mounted(status: os.stat_result) -> bool:
    """Whether this is how Kubernetes gives a Secret to a pod that is not root's: root owns the file, and the pod's group may read it."""
    return status.st_uid == 0 and os.geteuid() != 0 and status.st_gid in {os.getegid(), *os.getgroups()} and not status.st_mode & 0o037
