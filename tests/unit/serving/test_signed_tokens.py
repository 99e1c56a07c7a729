import base64
import json
from pathlib import Path
from typing import Any

import pytest
from policy_client import policy_client

from stack.serving.decisions import Decider
from stack.serving.errors import ServingError
from stack.serving.keys import KeyRing
from stack.serving.policy import load_policy
from stack.serving.policy_app import build_answerer
from stack.serving.requests import RefusedError
from stack.serving.tenants import Issuer, Principal
from stack.serving.tokens import principal_of, read_key_set, watch_key_set

PUBLIC = {"kty": "RSA", "kid": "r", "alg": "RS256", "n": "AQAB", "e": "AQAB"}
ISSUER = Issuer(issuer="https://login.example", audiences=("stackproof",), key_set="/k", tenant_claim="org", class_claim="plan")


def payload(**claims: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps({"iss": ISSUER.issuer, **claims}).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ({"kty": "oct", "kid": "s", "alg": "HS256", "k": "c2VjcmV0"}, r"field `keys\.0\.alg`: HS256"),
        ({**PUBLIC, "alg": "none"}, r"field `keys\.0\.alg`: none"),
        ({**PUBLIC, "alg": "ES256"}, r"field `keys\.0\.alg`: ES256 for a key of type RSA"),
        ({**PUBLIC, "d": "AQAB"}, r"field `keys\.0\.d`: a private key"),
        ({"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"}, r"field `keys\.0\.alg`"),
        ({"kty": "RSA", "alg": "RS256", "n": "AQAB", "e": "AQAB"}, r"field `keys\.0\.kid`"),
    ],
)
def test_a_key_set_with_a_key_that_could_sign_or_is_bound_to_nothing_is_refused(tmp_path: Path, key: dict[str, str], told: str) -> None:
    (tmp_path / "k.jwks").write_text(json.dumps({"keys": [key]}))
    with pytest.raises(ServingError, match=told):
        read_key_set(tmp_path / "k.jwks")


def test_a_key_set_of_public_keys_is_accepted_and_an_empty_or_missing_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "k.jwks").write_text(json.dumps({"keys": [{**PUBLIC, "use": "sig"}]}))
    read_key_set(tmp_path / "k.jwks")
    (tmp_path / "none.jwks").write_text('{"keys": []}')
    for name in ("none.jwks", "missing.jwks"):
        with pytest.raises(ServingError, match=name):
            read_key_set(tmp_path / name)


def test_tenant_and_class_come_from_the_claims_the_policy_names() -> None:
    assert principal_of(payload(org="clinic", plan="wide"), (ISSUER,), {"default", "wide"}) == Principal("clinic", "wide")
    assert principal_of(payload(org="clinic"), (ISSUER,), {"default", "wide"}) == Principal("clinic", "default")


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (payload(tenant="clinic"), 403),
        (payload(org=["clinic"]), 403),
        (payload(org="clinic", plan="gold"), 403),
        (payload(org="clinic", plan=["default"]), 403),
        (payload(org="clinic", iss="https://other.example"), 401),
        ("W10", 401),
        ("!", 401),
        ("", 401),
    ],
)
def test_a_payload_that_names_nobody_we_know_is_refused(said: str, status: int) -> None:
    with pytest.raises(RefusedError) as caught:
        principal_of(said, (ISSUER,), {"default"})
    assert caught.value.status == status


def test_a_key_set_is_read_again_when_it_changes_and_says_nothing_while_it_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.serving.watched.RELOAD_S", 0)
    path = tmp_path / "k.jwks"
    path.write_text(json.dumps({"keys": [PUBLIC]}))
    client = policy_client(build_answerer(Decider(load_policy(), KeyRing(()), "sp-engine"), (watch_key_set(path),)))
    assert client.get("/.key-sets/0").json() == {"keys": [PUBLIC]}
    path.write_text(json.dumps({"keys": [{**PUBLIC, "kid": "next"}]}))
    assert client.get("/.key-sets/0").json()["keys"][0]["kid"] == "next"
    path.write_text(json.dumps({"keys": [{**PUBLIC, "d": "AQAB"}]}))
    assert (client.get("/.key-sets/0").status_code, client.get("/.key-sets/0").content) == (503, b"")
    path.unlink()
    assert client.get("/.key-sets/0").status_code == 503
    assert client.get("/.key-sets/1").status_code == 404
    path.write_text(json.dumps({"keys": [PUBLIC]}))
    assert client.get("/.key-sets/0").status_code == 200
