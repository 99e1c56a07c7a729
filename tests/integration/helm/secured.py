"""A policy that needs files of a site: certificates, key sets, keys for pseudonyms, and a collector with an authority of its own."""

from stack.serving.policy import GatewayPolicy, Tls, Tracing, load_policy
from stack.serving.tenants import Issuer, RateClass, Redact

LOGIN, PARTNER = "https://login.example", "https://partner.example"
COLLECTOR = "otel-collector.observability:4318"
SECURED: GatewayPolicy = load_policy().model_copy(
    update={
        "tls": Tls(certificate="/srv/tls/tls.crt", key="/srv/tls/tls.key", client_ca="/srv/clients.pem"),
        "issuers": (
            Issuer(issuer=LOGIN, audiences=("stackproof",), key_set="/srv/jwt/login.jwks"),
            Issuer(issuer=PARTNER, audiences=("stackproof",), key_set="/srv/jwt/partner.jwks"),
        ),
        "tracing": Tracing(endpoint=f"https://{COLLECTOR}/v1/traces", ca_file="/srv/collector.pem"),
        "classes": {"default": RateClass(redact=Redact(how="pseudonym", key_file="/srv/pii/pii.key")), "trusted": RateClass(redact="off")},
    }
)
"""With the paths of another machine, on purpose."""


def without(*fields: str) -> GatewayPolicy:
    """The policy with these parts as they are by default."""
    return SECURED.model_copy(update={name: GatewayPolicy.model_fields[name].get_default() for name in fields})


def without_client_ca() -> GatewayPolicy:
    assert SECURED.tls is not None
    return SECURED.model_copy(update={"tls": SECURED.tls.model_copy(update={"client_ca": None})})
