"""Where the files that a policy names lie in the chart's pods (pure).

A policy names files of the machine it was written for. In a cluster they come from Secrets and ConfigMaps and are mounted at fixed places, so that
one policy serves both. Key sets and keys for pseudonyms keep their file names: by these the chart finds them in the site's objects.
"""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from stack.serving.errors import ServingError
from stack.serving.policy import GatewayPolicy, Tls, Tracing
from stack.serving.tenants import RateClass, Redact

ENVOY_FOLDER = "/etc/stackproof"
"""Of the gateway's ConfigMap: its configuration, and the documents that say where the certificates lie."""
TLS_FOLDER = "/run/secrets/stackproof/tls"
CERTIFICATE, KEY = "tls.crt", "tls.key"
"""Of a Secret of type kubernetes.io/tls."""
CLIENT_CA_FILE = "/run/trust/stackproof/client-ca/ca.crt"
COLLECTOR_CA_FILE = "/run/trust/stackproof/collector-ca/ca.crt"
"""Of the gateway and of every engine."""
KEY_SETS_FOLDER = "/run/trust/stackproof/key-sets"
PSEUDONYMS_FOLDER = "/run/secrets/stackproof/pseudonyms"
FILE_NAME = r"[-_a-zA-Z0-9][-._a-zA-Z0-9]{0,252}"
"""Of a key in a Secret or ConfigMap; names that begin with a dot are the kubelet's own."""


def policy_in_cluster(policy: GatewayPolicy) -> GatewayPolicy:
    """The same rules with the files where the chart mounts them; ServingError when two files could not be told apart there."""
    key_set_files(policy), pseudonym_files(policy)
    tls = policy.tls and Tls(
        certificate=f"{TLS_FOLDER}/{CERTIFICATE}", key=f"{TLS_FOLDER}/{KEY}", client_ca=CLIENT_CA_FILE if policy.tls.client_ca is not None else None
    )
    issuers = tuple(each.model_copy(update={"key_set": f"{KEY_SETS_FOLDER}/{_name(each.key_set)}"}) for each in policy.issuers)
    classes = {name: _class_in_cluster(each) for name, each in policy.classes.items()}
    redact, tracing = policy.redact and _redact_in_cluster(policy.redact), policy.tracing and _tracing_in_cluster(policy.tracing)
    return policy.model_copy(update={"tls": tls, "issuers": issuers, "classes": classes, "redact": redact, "tracing": tracing})


def key_set_files(policy: GatewayPolicy) -> list[str]:
    """File names of the issuers' key sets, each once."""
    return _names("issuers", (issuer.key_set for issuer in policy.issuers))


def pseudonym_files(policy: GatewayPolicy) -> list[str]:
    """File names of the keys for pseudonyms, each once."""
    rules = (policy.redact_of(name) for name in policy.classes)
    return _names("redact.key_file", (each.key_file for each in rules if each is not None and each.key_file is not None))


def _class_in_cluster(rate_class: RateClass) -> RateClass:
    own = rate_class.redact
    return rate_class.model_copy(update={"redact": _redact_in_cluster(own)}) if isinstance(own, Redact) else rate_class


def _redact_in_cluster(redact: Redact) -> Redact:
    return redact if redact.key_file is None else redact.model_copy(update={"key_file": f"{PSEUDONYMS_FOLDER}/{_name(redact.key_file)}"})


def _tracing_in_cluster(tracing: Tracing) -> Tracing:
    return tracing if tracing.ca_file is None else tracing.model_copy(update={"ca_file": COLLECTOR_CA_FILE})


def _names(field: str, paths: Iterable[str]) -> list[str]:
    found: dict[str, str] = {}
    for path in paths:
        name = _name(path)
        if not re.fullmatch(FILE_NAME, name):
            raise ServingError(f"field `{field}`: {path}: name the file by letters, digits, dots and dashes, as it is the key in a Secret or ConfigMap")
        if found.setdefault(name, path) != path:
            raise ServingError(f"field `{field}`: {found[name]} and {path} would be one file in the chart: give them different names")
    return sorted(found)


def _name(path: str) -> str:
    return PurePosixPath(path).name
