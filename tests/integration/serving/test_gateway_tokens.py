"""Signed tokens at the real Envoy: what passes, and every forgery that once passed somewhere."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from gateway_kit import ENGINE_KEY, EchoGateway, start_echo_gateway

from stack.serving.policy import load_policy
from stack.serving.tenants import Issuer, RateClass

pytestmark = pytest.mark.slow
ISSUER, AUDIENCE = "https://login.example", "stackproof"
NOW = int(time.time())
GOOD = {"iss": ISSUER, "aud": AUDIENCE, "tenant": "clinic", "exp": NOW + 3600, "nbf": NOW - 60}


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


@dataclass
class Signer:
    rsa_key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    ec_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    ed_key: ed25519.Ed25519PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)

    def key_set(self) -> dict[str, Any]:
        one, two = self.rsa_key.public_key().public_numbers(), self.ec_key.public_key().public_numbers()
        return {
            "keys": [
                {"kty": "RSA", "kid": "r", "alg": "RS256", "n": number(one.n), "e": number(one.e)},
                {"kty": "EC", "crv": "P-256", "kid": "e", "alg": "ES256", "x": b64(two.x.to_bytes(32, "big")), "y": b64(two.y.to_bytes(32, "big"))},
                {"kty": "OKP", "crv": "Ed25519", "kid": "d", "alg": "EdDSA", "x": b64(self.ed_key.public_key().public_bytes_raw())},
            ]
        }

    def public_pem(self) -> bytes:
        return self.rsa_key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def token(self, claims: dict[str, Any], *, alg: str = "RS256", kid: str | None = "r", **header: Any) -> str:
        head = {"alg": alg, "typ": "JWT", **({"kid": kid} if kid else {}), **header}
        text = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
        return f"{text}.{b64(self._sign(alg, text.encode()))}"

    def _sign(self, alg: str, text: bytes) -> bytes:
        match alg:
            case "RS256":
                return self.rsa_key.sign(text, padding.PKCS1v15(), hashes.SHA256())
            case "ES256":
                r, s = decode_dss_signature(self.ec_key.sign(text, ec.ECDSA(hashes.SHA256())))
                return r.to_bytes(32, "big") + s.to_bytes(32, "big")
            case "EdDSA":
                return self.ed_key.sign(text)
            case "HS256":
                return hmac.new(self.public_pem(), text, hashlib.sha256).digest()
            case _:
                return b""


SIGNER, STRANGER = Signer(), Signer()


@pytest.fixture(scope="module")
def token_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EchoGateway]:
    folder: Path = tmp_path_factory.mktemp("tokens")
    (folder / "keys.jwks").write_text(json.dumps(SIGNER.key_set()))
    issuer = Issuer(issuer=ISSUER, audiences=(AUDIENCE,), key_set=str(folder / "keys.jwks"), class_claim="plan")
    classes = {"default": RateClass(), "small-only": RateClass(models=("small",))}
    with start_echo_gateway(folder, policy=load_policy().model_copy(update={"issuers": (issuer,), "classes": classes})) as gateway:
        yield gateway


def ask(gateway: EchoGateway, *authorization: str, headers: dict[str, str] | None = None) -> httpx.Response:
    gateway.reached.clear()
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    sent = [*(("authorization", value) for value in authorization), *(headers or {}).items()]
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=body, headers=sent, timeout=10, verify=False)


@pytest.mark.parametrize(("alg", "kid"), [("RS256", "r"), ("ES256", "e"), ("EdDSA", "d")])
def test_a_good_token_passes_as_its_tenant_and_neither_it_nor_its_claims_reach_the_engine(token_gateway: EchoGateway, alg: str, kid: str) -> None:
    token = SIGNER.token(GOOD, alg=alg, kid=kid)
    answer = ask(token_gateway, f"Bearer {token}")
    assert answer.status_code == 200, answer.text
    seen = answer.json()
    assert (seen["x-stackproof-tenant"], seen["authorization"]) == ("clinic", f"Bearer {ENGINE_KEY}")
    assert "x-stackproof-claims" not in seen
    assert token not in str(seen)


def test_an_api_key_passes_beside_tokens(token_gateway: EchoGateway) -> None:
    assert ask(token_gateway, f"Bearer {token_gateway.key}").status_code == 200
    assert ask(token_gateway, f"bearer {token_gateway.key}").status_code == 200
    assert ask(token_gateway, "Bearer sp-other").status_code == 401
    assert ask(token_gateway).status_code == 401


def test_the_class_of_a_token_holds_and_one_the_gateway_lacks_is_refused(token_gateway: EchoGateway) -> None:
    refused = ask(token_gateway, f"Bearer {SIGNER.token({**GOOD, 'plan': 'small-only'})}")
    assert (refused.status_code, refused.json()["error"]["message"]) == (403, "model m is not open to this key")
    assert ask(token_gateway, f"Bearer {SIGNER.token({**GOOD, 'plan': 'gold'})}").status_code == 403
    assert ask(token_gateway, f"Bearer {SIGNER.token({**GOOD, 'plan': ['default']})}").status_code == 403
    for tenant in (None, "", "A b", 5, "../x"):
        assert ask(token_gateway, f"Bearer {SIGNER.token({**GOOD, 'tenant': tenant})}").status_code == 403
    assert not token_gateway.reached


def tampered(token: str) -> str:
    head, _, signature = token.split(".")
    return f"{head}.{b64(json.dumps({**GOOD, 'tenant': 'school'}).encode())}.{signature}"


def without(claim: str) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name != claim}


FORGED = {
    "expired": SIGNER.token({**GOOD, "exp": NOW - 120}),
    "without an end": SIGNER.token(without("exp")),
    "not yet valid": SIGNER.token({**GOOD, "nbf": NOW + 600}),
    "of another issuer": SIGNER.token({**GOOD, "iss": "https://other.example"}),
    "without an issuer": SIGNER.token(without("iss")),
    "unsigned": SIGNER.token(GOOD, alg="none", kid=None),
    "unsigned, with a key's name": SIGNER.token(GOOD, alg="none"),
    "unsigned, in capitals": SIGNER.token(GOOD, alg="NONE"),
    "signed with the public key as a secret": SIGNER.token(GOOD, alg="HS256"),
    "by a key nobody knows": STRANGER.token(GOOD, kid="x"),
    "by another key under a known name": STRANGER.token(GOOD),
    "by a key it brings along": STRANGER.token(GOOD, kid="own", jwk=STRANGER.key_set()["keys"][0]),
    "by an algorithm that is not its key's": SIGNER.token(GOOD, alg="ES256", kid="r"),
    "with other claims than were signed": tampered(SIGNER.token(GOOD)),
    "with its signature cut off": SIGNER.token(GOOD).rpartition(".")[0] + ".",
    "of two parts": SIGNER.token(GOOD).rpartition(".")[0],
    "that is none": "abc",
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_token_that_is_not_good_is_401(token_gateway: EchoGateway, kind: str) -> None:
    answer = ask(token_gateway, f"Bearer {FORGED[kind]}")
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "gateway_error"
    assert not token_gateway.reached


@pytest.mark.parametrize("claims", [{**GOOD, "aud": "other"}, {**GOOD, "aud": ["other"]}, without("aud")])
def test_a_good_token_for_somebody_else_is_403(token_gateway: EchoGateway, claims: dict[str, Any]) -> None:
    assert ask(token_gateway, f"Bearer {SIGNER.token(claims)}").status_code == 403
    assert not token_gateway.reached


def test_claims_of_a_clients_own_making_are_401(token_gateway: EchoGateway) -> None:
    claims = {"x-stackproof-claims": b64(json.dumps(GOOD).encode())}
    assert ask(token_gateway, headers=claims).status_code == 401
    assert ask(token_gateway, "Bearer sp-other", headers=claims).status_code == 401
    assert not token_gateway.reached


def within(seconds: float, is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(0.1)
    return False


def test_the_key_set_is_read_again_when_it_changes_and_lets_nobody_in_while_it_is_none(tmp_path: Path) -> None:
    key_set, next_one = tmp_path / "keys.jwks", tmp_path / "next.jwks"
    key_set.write_text(json.dumps(SIGNER.key_set()))
    issuer = Issuer(issuer=ISSUER, audiences=(AUDIENCE,), key_set=str(key_set))
    old, new = f"Bearer {SIGNER.token(GOOD)}", f"Bearer {STRANGER.token(GOOD)}"
    with start_echo_gateway(tmp_path, policy=load_policy().model_copy(update={"issuers": (issuer,)})) as gateway:
        assert (ask(gateway, old).status_code, ask(gateway, new).status_code) == (200, 401)
        next_one.write_text(json.dumps(STRANGER.key_set()))
        next_one.replace(key_set)
        assert within(4, lambda: ask(gateway, new).status_code == 200)
        assert ask(gateway, old).status_code == 401
        key_set.write_text('{"keys": [')
        assert within(4, lambda: ask(gateway, new).status_code == 503)
        unjudged = ask(gateway, old)
        assert (unjudged.status_code, unjudged.json()["error"]["message"]) == (503, "the model is not answering, try again later")
        assert ask(gateway, f"Bearer {gateway.key}").status_code == 200
        assert "no token of its issuer is let in" in (tmp_path / "policy.log").read_text()
        key_set.write_text(json.dumps(SIGNER.key_set()))
        assert within(4, lambda: ask(gateway, old).status_code == 200)
        assert ask(gateway, new).status_code == 401


def test_two_credentials_are_none(token_gateway: EchoGateway) -> None:
    good, key = f"Bearer {SIGNER.token(GOOD)}", f"Bearer {token_gateway.key}"
    for pair in ((good, key), (key, good), (good, good), (key, key)):
        assert ask(token_gateway, *pair).status_code in {400, 401}, pair
    assert not token_gateway.reached
