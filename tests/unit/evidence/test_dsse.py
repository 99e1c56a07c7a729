"""The encoding is DSSE's own."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from stack.evidence import Envelope, EvidenceError, SigningKey, canonical_json
from stack.evidence.dsse import pae


def test_pre_authentication_encoding_matches_the_example_of_the_specification() -> None:
    # protocol.md of secure-systems-lab/dsse, "Test vectors"
    assert pae("http://example.com/HelloWorld", b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@given(st.binary(max_size=400))
def test_any_garbage_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(EvidenceError, match=r"x\.json"):
        Envelope.from_bytes(data, name="x.json")


def test_a_signature_of_another_key_does_not_open() -> None:
    key, other = (SigningKey(Ed25519PrivateKey.generate()) for _ in range(2))
    envelope = Envelope.seal({"a": "0" * 64}, "urn:x", {"b": 1}, key)
    assert envelope.open(key.public, name="n")["predicate"] == {"b": 1}
    with pytest.raises(EvidenceError, match="n: signature does not verify"):
        envelope.open(other.public, name="n")


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical_json({"b": 1, "a": "ü"}) == '{"a":"ü","b":1}'.encode()
