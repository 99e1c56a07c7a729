from collections.abc import Callable
from typing import Any

import pytest

from stack.hardware_profiles import Inventory
from stack.serving import CI_MODEL, ServingError, find_model, load_policy, make_plan
from stack.serving.helm_values import chart_values
from stack.serving.policy import Tls, parse_policy
from stack.serving.tenants import Issuer, RateClass, Redact


@pytest.mark.parametrize(("limits", "replicas"), [({}, None), ({"models": ("m",)}, None), ({"requests_per_minute": 5}, 1), ({"concurrent_requests": 5}, 1)])
def test_one_policy_service_runs_where_tenants_are_counted(make_inventory: Callable[..., Inventory], limits: dict[str, Any], replicas: int | None) -> None:
    policy = load_policy().model_copy(update={"classes": {"default": RateClass(**limits)}})
    values = chart_values(make_plan(make_inventory(), find_model(CI_MODEL)), policy)
    assert values["authz"].get("replicas") == replicas


def test_masks_need_nothing_that_the_chart_lacks_and_pseudonyms_a_key(make_inventory: Callable[..., Inventory]) -> None:
    plan, policy = make_plan(make_inventory(), find_model(CI_MODEL)), load_policy()
    masks = policy.model_copy(update={"redact": Redact()})
    assert parse_policy(chart_values(plan, masks)["authz"]["policy"], source="values") == masks
    pseudonyms = RateClass(redact=Redact(how="pseudonym", key_file="/pii.key"))
    with pytest.raises(ServingError, match=r"field `redact\.key_file`: the chart carries no key"):
        chart_values(plan, policy.model_copy(update={"classes": {"default": pseudonyms}}))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tls": Tls(certificate="/tls/tls.crt", key="/tls/tls.key")}, "tls"),
        ({"issuers": (Issuer(issuer="https://login.example", audiences=("a",), key_set="/jwt/keys"),)}, "issuers"),
    ],
)
def test_a_policy_with_files_the_chart_cannot_carry_is_refused_by_field(make_inventory: Callable[..., Inventory], changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ServingError, match=f"field `{field}`: this deployment has no place"):
        chart_values(make_plan(make_inventory(), find_model(CI_MODEL)), load_policy().model_copy(update=changes))
