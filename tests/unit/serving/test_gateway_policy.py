import math
from pathlib import Path

import pytest
import yaml

from stack.serving.errors import ServingError
from stack.serving.policy import load_policy, parse_policy
from stack.serving.tenants import Redact

DEFAULT = load_policy().model_dump(mode="json")

COLLECTOR = "http://127.0.0.1:4318/v1/traces"


def changed(**changes: object) -> str:
    return yaml.safe_dump({**DEFAULT, **changes})


def of_class(**limits: object) -> str:
    return changed(classes={"default": {}, "x": limits})


def both_at(gateway: str, policy_service: str) -> str:
    return changed(metrics={"gateway": gateway, "policy_service": policy_service})


def test_the_shipped_policy_allows_the_text_api_and_nothing_else() -> None:
    assert {(route.method, route.path) for route in load_policy().routes} == {
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/embeddings"),
        ("GET", "/v1/models"),
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (changed(routes=[{"method": "POST", "path": "/v1/x"}]), "field `routes`: POST /v1/x: a POST names its body schema"),
        (changed(routes=[{"method": "GET", "path": "/v1/../x"}]), "field `routes.0.path`"),
        (changed(routes=[{"method": "DELETE", "path": "/v1/x"}]), "field `routes.0.method`"),
        (changed(routes=[{"method": "GET", "path": "/a"} for _ in range(2)]), "field `routes`: routes repeat"),
        (changed(routes=[]), "field `routes`"),
        (changed(routes=[{"method": "GET", "path": "/a"}]), "field `routes`: POST /v1/chat/completions is missing"),
        (changed(limits={**DEFAULT["limits"], "body_bytes": -1}), "field `limits.body_bytes`: .* got -1"),
        (changed(timeouts={**DEFAULT["timeouts"], "idle_s": 0}), "field `timeouts.idle_s`"),
        (changed(requests={**DEFAULT["requests"], "choices": 5}), "field `requests.choices`"),
        (changed(classes={"wide": {}}), "field `classes`: class default is missing"),
        (changed(classes={"default": {"tokens_per_minute": 0}}), "field `classes.default.tokens_per_minute`"),
        (changed(classes={"default": {"per_day": 1}}), "field `classes.default.per_day`"),
        (changed(tls={"certificate": "tls.crt", "key": "/tls/tls.key"}), "field `tls.certificate`"),
        (changed(tls={"certificate": "/a/tls.crt", "key": "/b/tls.key"}), "field `tls`: `key` must lie in the folder of `certificate`"),
        (changed(colour="red"), "field `colour`: is not known here: known are version, routes, health_path, "),
        (changed(timeouts={**DEFAULT["timeouts"], "idle": 3}), r"field `timeouts\.idle`: is not known here: did you mean `idle_s`\?$"),
        (changed(timeouts={**DEFAULT["timeouts"], "idle_s": math.inf}), "field `timeouts.idle_s`: Input should be a finite number, got inf$"),
        (changed(limits={**DEFAULT["limits"], "body_bytes": "262144"}), "field `limits.body_bytes`: Input should be a valid integer, got the text '262144'$"),
        (changed(requests={**DEFAULT["requests"], "text_chars": True}), "field `requests.text_chars`: Input should be a valid integer, got True$"),
        (changed(version=True), "field `version`: must be the number 1, got True"),
        (of_class(tokens_per_day="5"), "field `classes.x.tokens_per_day`: Input should be a valid integer, got the text '5'$"),
        (of_class(redact={"how": "pseudonym"}), "field `classes.x.redact`: `key_file` goes with `how: pseudonym`, and only with it$"),
        (of_class(redact={"kinds": ["emial"]}), r"field `classes\.x\.redact\.kinds\.0`: Input should be 'email', .*, got 'emial'$"),
        (of_class(redact={"kind": ["email"]}), r"field `classes\.x\.redact\.kind`: is not known here: did you mean `kinds`\?$"),
        (of_class(redact="on"), "field `classes.x.redact`: must be `off`, or a mapping as of the policy's own `redact`, got 'on'$"),
        (changed(classes={"default": {}, "Night": {}}), "field `classes.Night`: must be a name of .*, as in night-shift, got 'Night'$"),
        (changed(metrics={"policy_service": "9903"}), "field `metrics.policy_service`: must be host:port .*, as in 127.0.0.1:9903, got '9903'$"),
        (changed(metrics={"gateway": "localhost:9902"}), "field `metrics.gateway`: must be an IPv4 address and a port .*, as in 127.0.0.1:9902, got"),
        (changed(tracing={"endpoint": "collector"}), "field `tracing.endpoint`: must be http:// .*, as in http://127.0.0.1:4318/v1/traces, got 'collector'$"),
        (changed(tracing={"endpoint": COLLECTOR, "sample_percent": 0.001}), "field `tracing.sample_percent`: must be 0 or at least 0.01"),
        (both_at("127.0.0.1:9902", "127.0.0.1:9902"), r"field `metrics`: `gateway` \(127.0.0.1:9902\) and `policy_service` \(127.0.0.1:9902\) are one address"),
        (both_at("0.0.0.0:9902", "localhost:9902"), "field `metrics`: `gateway` .* are one address: give each a port of its own$"),
        (changed(routes=[*DEFAULT["routes"], {"method": "GET", "path": "/healthz"}]), ".*`health_path` /healthz is one of `routes` too"),
        (changed(health_path="/Health"), "field `health_path`: must be a / and lower-case letters, as in /healthz, got '/Health'$"),
        ("routes: [", "line 1: not YAML"),
        ("", r"field `\(document\)`"),
    ],
)
def test_a_wrong_policy_names_its_file_and_field_in_one_line(text: str, told: str) -> None:
    with pytest.raises(ServingError, match=f"p.yaml: {told}") as caught:
        parse_policy(text, source="p.yaml")
    assert "\n" not in str(caught.value)


def test_a_number_longer_than_python_writes_out_is_told_by_its_size() -> None:
    text = yaml.safe_dump(DEFAULT).replace("max_tokens: 4096", f"max_tokens: 0x{'f' * 5000}")
    with pytest.raises(ServingError, match=r"field `requests\.max_tokens`: .*, got a number of 20000 bits$"):
        parse_policy(text, source="p.yaml")


def test_what_may_stand_beside_each_other_or_in_a_class_is_read() -> None:
    assert parse_policy(both_at("127.0.0.1:9902", "localhost:9903"), source="p.yaml").metrics.gateway == "127.0.0.1:9902"
    assert parse_policy(both_at("127.0.0.1:9902", "10.0.0.1:9902"), source="p.yaml").metrics.policy_service == "10.0.0.1:9902"
    bare = of_class(redact="off").replace("redact: 'off'", "redact: off")
    assert "redact: off" in bare
    assert parse_policy(bare, source="p.yaml").classes["x"].redact == "off"
    assert parse_policy(of_class(redact={"kinds": ["iban"]}), source="p.yaml").redact_of("x") == Redact(kinds=("iban",))


def test_a_policy_file_that_is_missing_or_binary_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match=r"none\.yaml: cannot be read"):
        load_policy(tmp_path / "none.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ServingError, match="binary: not UTF-8 text"):
        load_policy(tmp_path / "binary")
