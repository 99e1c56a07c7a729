"""DSSE envelopes and in-toto statements: pure encoding and decoding.

Formats: DSSE v1.0.2 (github.com/secure-systems-lab/dsse) and in-toto Statement v1
(github.com/in-toto/attestation). An envelope is written in one canonical form and read strictly, so
that a byte changed anywhere, even in white space or in base64 padding, is found.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from stack.evidence.errors import EvidenceError
from stack.evidence.keys import PublicKey, SigningKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no white space: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def as_subjects(digests: dict[str, str]) -> list[dict[str, Any]]:
    """SHA-256 digests by name in the form and order of a statement."""
    return [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(digests.items())]


@dataclass(frozen=True)
class Envelope:
    """A signed payload with one Ed25519 signature."""

    payload: bytes
    key_id: str
    signature: bytes

    @classmethod
    def seal(cls, subjects: dict[str, str], predicate_type: str, predicate: dict[str, Any], key: SigningKey) -> "Envelope":
        """Sign an in-toto Statement; `subjects` maps names to SHA-256 digests."""
        statement = {
            "_type": STATEMENT_TYPE,
            "subject": as_subjects(subjects),
            "predicateType": predicate_type,
            "predicate": predicate,
        }
        payload = canonical_json(statement)
        return cls(payload=payload, key_id=key.public.key_id, signature=key.sign(pae(PAYLOAD_TYPE, payload)))

    def to_bytes(self) -> bytes:
        body = {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": self.key_id, "sig": base64.b64encode(self.signature).decode()}],
        }
        return canonical_json(body) + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, *, name: str) -> "Envelope":
        """Parse the canonical form; EvidenceError naming `name` for anything else."""
        try:
            body = json.loads(data)
            (entry,) = body["signatures"]
            envelope = cls(
                payload=base64.b64decode(body["payload"], validate=True),
                key_id=entry["keyid"],
                signature=base64.b64decode(entry["sig"], validate=True),
            )
            canonical = envelope.to_bytes()
        except (ValueError, KeyError, TypeError, binascii.Error, RecursionError):
            raise EvidenceError(f"{name}: not a DSSE envelope with one signature") from None
        if canonical != data:
            raise EvidenceError(f"{name}: not in the canonical form in which envelopes are written (a byte was changed)")
        return envelope

    def open(self, key: PublicKey, *, name: str) -> dict[str, Any]:
        """The verified statement; EvidenceError naming `name` when the signature does not hold."""
        if self.key_id != key.key_id or not key.verifies(self.signature, pae(PAYLOAD_TYPE, self.payload)):
            raise EvidenceError(f"{name}: signature does not verify with key {key.key_id}")
        try:
            statement = json.loads(self.payload)
        except (ValueError, RecursionError):
            statement = None
        if not isinstance(statement, dict) or statement.get("_type") != STATEMENT_TYPE:
            raise EvidenceError(f"{name}: payload is not an in-toto Statement v1")
        return statement
