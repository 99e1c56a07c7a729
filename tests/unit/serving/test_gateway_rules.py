"""The clauses of the gateway's rules (docs/security.md) that no other test states, and that the table of them is true."""

import ast
import functools
import hmac
import json
import re
from pathlib import Path
from typing import Any

import pytest

from stack.serving.gateway import Addresses, Pool, render_envoy
from stack.serving.judge import Call, judge
from stack.serving.keys import ApiKey, KeyRing, hash_key, new_key
from stack.serving.metrics import GatewayMetrics
from stack.serving.policy import load_policy
from stack.serving.reports import Ended
from stack.serving.requests import RefusedError

ROOT = Path(__file__).parents[3]
SECURITY = ROOT / "docs" / "security.md"
POLICY = load_policy()
KEY = new_key()
RING = KeyRing((ApiKey(tenant="clinic", sha256=hash_key(KEY)),))
# fmt: off
ENTRANCES = (
    "/invocations", "/generative_scoring", "/pooling", "/classify", "/score", "/v1/score", "/rerank", "/v1/rerank", "/v2/rerank", "/tokenize",
    "/detokenize", "/pause", "/resume", "/scale_elastic_ep", "/is_scaling_elastic_ep", "/init_weight_transfer_engine", "/update_weights",
    "/abort_requests", "/load", "/version", "/metrics", "/ping", "/health", "/docs", "/openapi.json", "/collective_rpc", "/sleep", "/wake_up",
    "/is_sleeping", "/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache", "/server_info", "/start_profile", "/stop_profile",
    "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/inference/v1/generate", "/v1/responses", "/v1/messages", "/v1/audio/transcriptions",
    "/v1/audio/translations",
)
# fmt: on
"""Of the engine, many of them without a key of its own."""
LOCAL = Addresses(
    listen="127.0.0.1:8000",
    pools=(Pool(engines=("127.0.0.1:8001",)),),
    policy_service="unix:/tmp/p.sock",
    admin="unix:/tmp/a.sock",
    access_log="/tmp/access.log",
)


@pytest.mark.parametrize("path", ENTRANCES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_entrance_of_the_engine_beside_the_api_is_open(path: str, method: str) -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hello"}]}).encode() if method == "POST" else b""
    with pytest.raises(RefusedError) as refused:
        judge(Call(method, path, b"", (f"Bearer {KEY}",), body), POLICY, RING)
    assert refused.value.status == 404
    virtual_host = manager()["route_config"]["virtual_hosts"][0]
    reaching = [route["match"] for route in virtual_host["routes"] if "route" in route]
    assert all(match["path"] != path for match in reaching)  # exact paths alone, each with its exact method


def manager() -> dict[str, Any]:
    chain = render_envoy(POLICY, LOCAL)["static_resources"]["listeners"][0]["filter_chains"][0]
    found: dict[str, Any] = chain["filters"][0]["typed_config"]
    return found


@pytest.mark.parametrize("place", [0, 1, 2, None], ids=["first", "middle", "last", "none"])
def test_every_stored_key_is_compared_in_constant_time_whichever_matches(place: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    given = [new_key() for _ in range(3)]
    ring = KeyRing(tuple(ApiKey(tenant=f"tenant-{number}", sha256=hash_key(key)) for number, key in enumerate(given)))
    compared, compare = list[str](), hmac.compare_digest

    def counted(stored: str, presented: str) -> bool:
        compared.append(stored)
        return compare(stored, presented)

    monkeypatch.setattr("stack.serving.keys.hmac.compare_digest", counted)
    assert ring.tenant_of(given[place] if place is not None else new_key()) == (f"tenant-{place}" if place is not None else None)
    assert compared == [each.sha256 for each in ring.keys]


def test_no_label_of_a_metric_is_a_clients_choice() -> None:
    metrics = GatewayMetrics(POLICY)
    metrics.follow(RING)

    def values() -> set[tuple[str, ...]]:
        return {tuple(sorted(sample.labels.items())) for family in metrics.registry.collect() for sample in family.samples}

    def noise(number: int) -> None:
        metrics.decided((f"METHOD{number}", f"/path/{number}"), rate_class=None, decision="refused", status=404, took_s=0.001)
        metrics.estimated(f"tenant-{number}", 5)
        metrics.redacted(f"tenant-{number}", {"email": 1})
        ended = Ended(str(number), 200, 1, 1, f"tenant-{number}", f"METHOD{number}", f"/path/{number}", 0.1, 0.1)
        metrics.reported((ended,))

    noise(0)
    before = values()
    for number in range(1, 200):
        noise(number)
    assert values() == before
    assert not any("1" in value for labels in before for name, value in labels if name == "tenant")


def rows() -> list[tuple[str, str, str]]:
    """Of the table: rule, places in the code, tests."""
    section = SECURITY.read_text().partition("## The gateway's rules")[2].partition("\n## ")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if re.match(r"\| \d", line)]
    return [(line[0], line[1], line[2]) for line in lines]


def test_the_table_has_all_eight_rules() -> None:
    assert sorted({rule.split(".")[0] for rule, _, _ in rows()}) == [str(number) for number in range(1, 9)]


@functools.cache
def names_in(name: str) -> frozenset[str]:
    """Names of the tests in the one file of that name."""
    (path,) = (ROOT / "tests").rglob(name)
    return frozenset(node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))


@pytest.mark.parametrize(("rule", "code", "tests"), rows(), ids=[row[0].split(" ")[0] for row in rows()])
def test_every_place_and_every_test_that_the_table_names_exists(rule: str, code: str, tests: str) -> None:
    places = re.findall(r"`([^`]+\.(?:py|lua))`", code)
    assert places, rule
    for place in places:
        assert (ROOT / "stack" / "serving" / place).is_file(), place
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", tests)
    assert named, rule
    assert len(named) == tests.count("::"), f"{rule}: a test is not written as `file.py::test`"
    for file, test in named:
        assert test in names_in(file), f"{file}::{test}"
