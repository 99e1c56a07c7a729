"""TLS at the listener: version 1.2 and above, forward secrecy and authenticated encryption only (pure).

Certificates are files that Envoy reads by itself (SDS from a file), so a renewed one counts without a restart. Envoy
notices a file that was moved into place, as certificate managers and Kubernetes do it, not one written over.
"""

from pathlib import PurePosixPath
from typing import Any

from stack.serving.gateway.typed import TYPE, address_of, typed
from stack.serving.policy import Tls

CERTIFICATE, CLIENT_CA = "certificate", "client-ca"
PROBE = "probe"
EACH_POOL = "cluster_min_healthy_percentages"
"""Of `filters.health_filter`."""
CIPHERS_OF_1_2 = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
"""Those of RFC 9325, section 4.2. TLS 1.3 has no others to choose from."""
HSTS = {"header": {"key": "strict-transport-security", "value": "max-age=31536000"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def transport_socket(tls: Tls, secrets: str) -> dict[str, Any]:
    """Of a filter chain; `secrets` is the folder that the documents of `render_secrets` lie in."""
    common: dict[str, Any] = {
        "alpn_protocols": ["http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3", "cipher_suites": list(CIPHERS_OF_1_2)},
        "tls_certificate_sds_secret_configs": [_source(CERTIFICATE, secrets)],
    }
    if tls.client_ca is not None:
        common["validation_context_sds_secret_config"] = _source(CLIENT_CA, secrets)
    context = {
        "@type": f"{TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": common,
        "require_client_certificate": tls.client_ca is not None,
    }
    return typed("envoy.transport_sockets.tls", context)


def probe_listener(listener: dict[str, Any], address: str, health_path: str) -> dict[str, Any]:
    """The gateway's `listener` once more, without TLS and for the health path alone: a kubelet that asks a pod has no client's certificate to show.

    The request takes the same way, but no pool of several is looked at: one that fails, a canary perhaps, shall not take the gateway from the others.
    It is in no log and no trace.
    """
    (network,) = listener["filter_chains"][0]["filters"]
    manager = network["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    routes = [route for route in host["routes"] if route["match"].get("path") == health_path] + host["routes"][-1:]
    quiet = {name: value for name, value in manager.items() if name not in {"access_log", "tracing"}}
    filters = [{**each, "typed_config": {k: v for k, v in each["typed_config"].items() if k != EACH_POOL}} for each in manager["http_filters"]]
    own = {**quiet, "http_filters": filters, "stat_prefix": PROBE, "route_config": {"name": PROBE, "virtual_hosts": [{**host, "routes": routes}]}}
    return {**listener, "name": PROBE, "address": address_of(address), "filter_chains": [{"filters": [{**network, "typed_config": own}]}]}


def render_secrets(tls: Tls | None) -> dict[str, dict[str, Any]]:
    """The documents by which Envoy finds the certificates, by file name; they hold paths, no secret."""
    if tls is None:
        return {}
    certificate = {
        "certificate_chain": {"filename": tls.certificate},
        "private_key": {"filename": tls.key},
        "watched_directory": {"path": _folder(tls.certificate)},
    }
    found = {_file(CERTIFICATE): _resource({"name": CERTIFICATE, "tls_certificate": certificate})}
    if tls.client_ca is not None:
        trusted = {"trusted_ca": {"filename": tls.client_ca}, "watched_directory": {"path": _folder(tls.client_ca)}}
        found[_file(CLIENT_CA)] = _resource({"name": CLIENT_CA, "validation_context": trusted})
    return found


def _source(name: str, secrets: str) -> dict[str, Any]:
    return {"name": name, "sds_config": {"path_config_source": {"path": f"{secrets}/{_file(name)}"}, "resource_api_version": "V3"}}


def _resource(secret: dict[str, Any]) -> dict[str, Any]:
    return {"resources": [{"@type": f"{TYPE}.transport_sockets.tls.v3.Secret", **secret}]}


def _file(name: str) -> str:
    return f"sds-{name}.yaml"


def _folder(path: str) -> str:
    return str(PurePosixPath(path).parent)
