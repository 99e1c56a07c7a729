import json

import pytest
from msgspec import structs
from policy_client import policy_client

from stack.serving.decisions import Decider
from stack.serving.judge import Call, judge
from stack.serving.keys import ApiKey, KeyRing, hash_key
from stack.serving.policy import load_policy
from stack.serving.policy_app import build_answerer
from stack.serving.requests import RefusedError
from stack.serving.tenants import Principal

KEY, ENGINE_KEY = "sp-client", "sp-engine"
POLICY = load_policy()
RING = KeyRing((ApiKey(tenant="clinic", sha256=hash_key(KEY)),))
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hello"}]}).encode()
CHAT = Call("POST", "/v1/chat/completions", b"", (f"Bearer {KEY}",), BODY)


def verdict(**changes: object) -> int:
    try:
        judge(structs.replace(CHAT, **changes), POLICY, RING)
    except RefusedError as refused:
        return refused.status
    return 200


def test_a_well_formed_request_with_a_key_passes_as_its_tenant() -> None:
    assert judge(CHAT, POLICY, RING).principal == Principal("clinic", "default")
    assert verdict(authorization=(f"bearer {KEY}",)) == 200
    assert verdict(method="GET", path="/v1/models", body=b"") == 200


@pytest.mark.parametrize(
    "authorization", [(), ("",), (KEY,), ("Bearer",), ("Bearer ",), ("Basic eDp5",), ("Bearer sp-other",), (f"Bearer {KEY}",) * 2, (f"Bearer  {KEY}",)]
)
def test_anything_but_one_valid_bearer_key_is_401(authorization: tuple[str, ...]) -> None:
    assert verdict(authorization=authorization) == 401


def test_a_hostile_body_without_a_key_is_not_even_parsed() -> None:
    assert verdict(authorization=(), body=b"{") == 401


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/chat/completions"), ("POST", "/v1/chat/completions/"), ("POST", "/v1/responses"), ("POST", "//v1/models")]
)
def test_a_route_the_policy_does_not_list_is_404_whatever_envoy_thought(method: str, path: str) -> None:
    assert verdict(method=method, path=path) == 404


def test_queries_and_bodies_where_none_belong_are_400() -> None:
    assert verdict(query=b"api-version=1") == 400
    assert verdict(method="GET", path="/v1/models", body=b"{}") == 400
    assert verdict(body=b"") == 400


def test_the_answer_to_envoy_replaces_the_credential_and_names_the_tenant() -> None:
    client = policy_client(build_answerer(Decider(POLICY, RING, ENGINE_KEY)))
    passed = client.post("/v1/chat/completions", content=BODY, headers={"authorization": f"Bearer {KEY}"})
    assert (passed.status_code, passed.headers["authorization"], passed.headers["x-stackproof-tenant"]) == (200, f"Bearer {ENGINE_KEY}", "clinic")
    refused = client.post("/v1/chat/completions", content=BODY)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert "x-stackproof-tenant" not in refused.headers
    assert client.get(POLICY.health_path).status_code == 200
    assert "authorization" not in client.get(POLICY.health_path).headers
