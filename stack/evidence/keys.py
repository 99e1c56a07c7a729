"""Ed25519 keys: made on first use, kept private, known by the hash of their public half."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from stack.evidence.errors import EvidenceError
from stack.runtime.errors import StackproofError
from stack.runtime.files import write_atomic
from stack.runtime.places import config_dir


@dataclass(frozen=True)
class PublicKey:
    """The half that verifies."""

    key: Ed25519PublicKey

    @classmethod
    def from_pem(cls, data: bytes, *, name: str) -> "PublicKey":
        """Parse SubjectPublicKeyInfo PEM exactly as `to_pem` writes it; EvidenceError naming `name` otherwise."""
        try:
            key = serialization.load_pem_public_key(data)
        except (ValueError, UnsupportedAlgorithm):
            raise EvidenceError(f"{name}: not a PEM public key") from None
        if not isinstance(key, Ed25519PublicKey):
            raise EvidenceError(f"{name}: not an Ed25519 key")
        public = cls(key)
        if public.to_pem() != data:
            raise EvidenceError(f"{name}: not in the canonical PEM form (a byte was changed)")
        return public

    def to_pem(self) -> bytes:
        return self.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    @property
    def key_id(self) -> str:
        """SHA-256 of the DER form, as hexadecimal."""
        return hashlib.sha256(self.key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    def verifies(self, signature: bytes, message: bytes) -> bool:
        try:
            self.key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class SigningKey:
    """The half that signs; its repr shows nothing of the secret."""

    key: Ed25519PrivateKey

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.key.public_key())

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message)


def default_key_path() -> Path:
    """`STACKPROOF_SIGNING_KEY`, else `signing_key.pem` in the configuration folder."""
    named = os.environ.get("STACKPROOF_SIGNING_KEY")
    return Path(named) if named else config_dir() / "signing_key.pem"


def load_or_create_key(path: Path | None = None) -> SigningKey:
    """The signing key (PKCS #8 PEM, mode 0600); made on first use. StackproofError when it is unreadable."""
    place = path or default_key_path()
    if not place.exists():
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        write_atomic(place, pem, mode=0o600)
        return SigningKey(key)
    if place.stat().st_mode & 0o077:
        raise StackproofError(f"signing key {place} can be read by others: run chmod 600 on it")
    try:
        loaded = serialization.load_pem_private_key(place.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise StackproofError(f"signing key {place} is not an unencrypted PEM private key: move it away to make a new one") from None
    if not isinstance(loaded, Ed25519PrivateKey):
        raise StackproofError(f"signing key {place} is not an Ed25519 key: move it away to make a new one")
    return SigningKey(loaded)
