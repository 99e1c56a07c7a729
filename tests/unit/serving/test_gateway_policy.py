from pathlib import Path

import pytest
import yaml

from stack.serving.errors import ServingError
from stack.serving.policy import load_policy, parse_policy

DEFAULT = load_policy().model_dump(mode="json")


def changed(**changes: object) -> str:
    return yaml.safe_dump({**DEFAULT, **changes})


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
        (changed(colour="red"), "field `colour`"),
        ("routes: [", "line 1: not YAML"),
        ("", r"field `\(document\)`"),
    ],
)
def test_a_wrong_policy_names_its_file_and_field_in_one_line(text: str, told: str) -> None:
    with pytest.raises(ServingError, match=f"p.yaml: {told}") as caught:
        parse_policy(text, source="p.yaml")
    assert "\n" not in str(caught.value)


def test_a_policy_file_that_is_missing_or_binary_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match=r"none\.yaml: cannot be read"):
        load_policy(tmp_path / "none.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ServingError, match="binary: not UTF-8 text"):
        load_policy(tmp_path / "binary")
