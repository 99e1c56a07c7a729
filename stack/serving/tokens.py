"""Signed tokens (JWT) of identity providers: whose are accepted, and whom they speak for.

Envoy checks signature, issuer, audience and times by a key set that it gets from the policy service, and hands on what a good token says;
here that is turned into a tenant and a class. A token is never checked by a key it brings along itself.
"""

import base64
import binascii
import json
import re
from collections.abc import Collection
from pathlib import Path

from pydantic import Field, ValidationError

from stack.evidence.record import Frozen
from stack.runtime.errors import describe_validation
from stack.runtime.yaml_input import read_bounded
from stack.serving.errors import ServingError
from stack.serving.requests import RefusedError
from stack.serving.tenants import DEFAULT_CLASS, TENANT_PATTERN, Issuer, Principal
from stack.serving.watched import Watched

ALGORITHMS = {"RS256": "RSA", "RS384": "RSA", "RS512": "RSA", "PS256": "RSA", "PS384": "RSA", "PS512": "RSA", "ES256": "EC", "ES384": "EC", "EdDSA": "OKP"}
"""Accepted in a key set, with the key type of each; asymmetric ones alone, so that nothing here could sign a token."""
PRIVATE_FIELDS = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})


class _Key(Frozen, extra="allow"):
    kid: str = Field(min_length=1)
    kty: str
    alg: str


class _KeySet(Frozen, extra="allow"):
    keys: tuple[_Key, ...] = Field(min_length=1)


def read_key_set(path: Path) -> bytes:
    """The file; ServingError naming the field unless every key of the set is public, named, and bound to one accepted algorithm."""
    content = read_bounded(path, error=ServingError)
    try:
        found = _KeySet.model_validate_json(content)
    except ValidationError as error:
        raise ServingError(describe_validation(error, source=str(path))) from None
    for index, key in enumerate(found.keys):
        where = f"{path}: field `keys.{index}"
        if ALGORITHMS.get(key.alg) != key.kty:
            raise ServingError(f"{where}.alg`: {key.alg} for a key of type {key.kty} is not accepted; use one of {', '.join(ALGORITHMS)}")
        if private := PRIVATE_FIELDS & set(key.model_extra or {}):
            raise ServingError(f"{where}.{min(private)}`: a private key does not belong here, leave only its public part")
    return content


def watch_key_set(path: Path) -> Watched[bytes]:
    """A key set, followed; ServingError when it is none now."""
    return Watched(path, read_key_set, meanwhile="no token of its issuer is let in")


def principal_of(payload: str, issuers: Collection[Issuer], classes: Collection[str]) -> Principal:
    """Whom a token that Envoy has checked speaks for, by its base64url payload; RefusedError (403) when it names nobody we know."""
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (binascii.Error, ValueError):
        raise RefusedError("the token says nothing", status=401) from None
    issuer = next((each for each in issuers if isinstance(claims, dict) and claims.get("iss") == each.issuer), None)
    if issuer is None:
        raise RefusedError("the token is of no known issuer", status=401)
    tenant = claims.get(issuer.tenant_claim)
    if not isinstance(tenant, str) or not re.fullmatch(TENANT_PATTERN, tenant):
        raise RefusedError(f"the token names no tenant in its claim {issuer.tenant_claim}", status=403)
    rate_class = claims.get(issuer.class_claim, DEFAULT_CLASS) if issuer.class_claim else DEFAULT_CLASS
    if not isinstance(rate_class, str) or rate_class not in classes:
        raise RefusedError(f"the token names no class of this gateway in its claim {issuer.class_claim}", status=403)
    return Principal(tenant, rate_class)
