from collections.abc import Callable
from typing import Any

import pytest

from stack.hardware_profiles import Inventory
from stack.serving import CI_MODEL, ServingError, find_model, load_policy, make_plan
from stack.serving.helm_values import chart_values
from stack.serving.policy import GatewayPolicy, Tls, Tracing, parse_policy
from stack.serving.tenants import Issuer, RateClass, Redact


@pytest.mark.parametrize(("limits", "replicas"), [({}, None), ({"models": ("m",)}, None), ({"requests_per_minute": 5}, 1), ({"concurrent_requests": 5}, 1)])
def test_one_policy_service_runs_where_tenants_are_counted(make_inventory: Callable[..., Inventory], limits: dict[str, Any], replicas: int | None) -> None:
    policy = load_policy().model_copy(update={"classes": {"default": RateClass(**limits)}})
    values = chart_values(make_plan(make_inventory(), find_model(CI_MODEL)), policy)
    assert values["authz"].get("replicas") == replicas


def values_of(make_inventory: Callable[..., Inventory], **changes: Any) -> dict[str, Any]:
    return chart_values(make_plan(make_inventory(), find_model(CI_MODEL)), load_policy().model_copy(update=changes))


def policy_of(values: dict[str, Any]) -> GatewayPolicy:
    return parse_policy(values["authz"]["policy"], source="values")


def issuer(name: str, key_set: str) -> Issuer:
    return Issuer(issuer=f"https://{name}.example", audiences=("a",), key_set=key_set)


def test_masks_need_nothing_of_the_site_and_pseudonyms_the_names_of_their_keys(make_inventory: Callable[..., Inventory]) -> None:
    masks = values_of(make_inventory, redact=Redact())
    assert policy_of(masks).redact == Redact()
    assert "pseudonymKeys" not in masks["authz"]
    own = RateClass(redact=Redact(how="pseudonym", key_file="/b/clinic.key"))
    both = values_of(make_inventory, redact=Redact(how="pseudonym", key_file="/a/pii.key"), classes={"default": RateClass(), "clinic": own})
    assert both["authz"]["pseudonymKeys"] == ["clinic.key", "pii.key"]
    files = [rules.key_file for name in ("default", "clinic") if (rules := policy_of(both).redact_of(name))]
    assert files == ["/run/secrets/stackproof/pseudonyms/pii.key", "/run/secrets/stackproof/pseudonyms/clinic.key"]


def test_issuers_may_share_a_key_set_but_two_files_need_two_names(make_inventory: Callable[..., Inventory]) -> None:
    shared = values_of(make_inventory, issuers=(issuer("one", "/jwt/keys.jwks"), issuer("two", "/jwt/keys.jwks")))
    assert shared["authz"]["keySets"] == ["keys.jwks"]
    assert {each.key_set for each in policy_of(shared).issuers} == {"/run/trust/stackproof/key-sets/keys.jwks"}
    with pytest.raises(ServingError, match=r"field `issuers`: /a/keys.jwks and /b/keys.jwks would be one file"):
        values_of(make_inventory, issuers=(issuer("one", "/a/keys.jwks"), issuer("two", "/b/keys.jwks")))


@pytest.mark.parametrize("path", ["/jwt/key set", "/jwt/..data", "/jwt/..", "//"])
def test_a_file_name_that_no_object_of_a_cluster_can_have_is_refused(make_inventory: Callable[..., Inventory], path: str) -> None:
    with pytest.raises(ServingError, match=r"field `issuers`: .*name the file by letters"):
        values_of(make_inventory, issuers=(issuer("one", path),))


@pytest.mark.parametrize("mutual", [False, True])
def test_certificates_are_where_the_chart_mounts_them(make_inventory: Callable[..., Inventory], mutual: bool) -> None:
    values = values_of(make_inventory, tls=Tls(certificate="/x/server.pem", key="/x/server.key", client_ca="/y/ca.pem" if mutual else None))
    tls = policy_of(values).tls
    assert tls is not None
    assert (tls.certificate, tls.key) == ("/run/secrets/stackproof/tls/tls.crt", "/run/secrets/stackproof/tls/tls.key")
    assert tls.client_ca == ("/run/trust/stackproof/client-ca/ca.crt" if mutual else None)
    gateway = values["gateway"]
    assert (gateway["tls"]["clientCertificates"], gateway.get("probePort")) == (mutual, 8081 if mutual else None)
    assert sorted(gateway["tls"]["documents"]) == (["sds-certificate.yaml", "sds-client-ca.yaml"] if mutual else ["sds-certificate.yaml"])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost"])
def test_a_collector_that_would_be_the_pod_itself_is_refused(make_inventory: Callable[..., Inventory], host: str) -> None:
    with pytest.raises(ServingError, match=r"field `tracing\.endpoint`: .* name the collector's Service"):
        values_of(make_inventory, tracing=Tracing(endpoint=f"http://{host}:4318/v1/traces"))


def test_a_policy_without_files_and_collector_asks_nothing_of_the_site(make_inventory: Callable[..., Inventory]) -> None:
    values = values_of(make_inventory)
    assert "tracing" not in values
    assert not {"tls", "probePort"} & values["gateway"].keys()
    assert not {"keySets", "pseudonymKeys"} & values["authz"].keys()
    assert not [name for name in (each["name"] for each in values["engine"]["env"]) if name.startswith("OTEL_")]
