"""The OpenAPI document against the real gateway: schemathesis sends what it allows and what it does not.

What is no method or path of the document is left to the hostile requests: the gateway answers 404 there, schemathesis asks for 405.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
import schemathesis
from gateway_kit import EchoGateway
from schemathesis.engine import Status, events, from_schema
from schemathesis.hooks import unregister

from stack.serving.openapi import openapi_document
from stack.serving.policy import load_policy

pytestmark = pytest.mark.slow
SEED = 20261124
EXAMPLES = 20
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
    "ignored_auth",
)
SEEDS_OF_MODELS = range(-(1 << 63), 1 << 63)


@dataclass
class Seen:
    """What a run tells: answers by route, whether the request kept to the document, and status; how often each check was made; what went wrong."""

    answers: Counter[tuple[str, bool, int]] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def config(gateway: EchoGateway) -> schemathesis.Config:
    return schemathesis.Config.from_dict(
        {
            "seed": SEED,
            "base-url": gateway.url,
            "headers": {"Authorization": f"Bearer {gateway.key}"},
            "continue-on-failure": True,
            "request-timeout": 10,
            "cache": {"enabled": False},
            "generation": {"mode": "all", "max-examples": EXAMPLES, "deterministic": True, "database": "none"},
            "phases": {"stateful": {"enabled": False}},
            "checks": {"unsupported_method": {"enabled": False}, "negative_data_rejection": {"expected-statuses": ["400", "401", "404", "413"]}},
        }
    )


def as_written(value: Any) -> Any:
    """Whole numbers without a fraction: to JSON Schema 1.0 is an integer, to the gateway it is not, as the document says in words."""
    if isinstance(value, dict):
        return {name: as_written(each) for name, each in value.items()}
    if isinstance(value, list):
        return [as_written(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def in_words(body: dict[str, Any]) -> dict[str, Any]:
    """The rules of tools that a schema cannot say, kept where the schema is: names are distinct, and a choice is one of them."""
    try:
        names = [tool["function"]["name"] for tool in body["tools"]]
        chosen = body["tool_choice"]["function"]["name"] if isinstance(body.get("tool_choice"), dict) else None
    except (KeyError, TypeError):
        return body
    if len(set(map(str, names))) != len(names) or (chosen is not None and chosen not in names):
        return {name: value for name, value in body.items() if name not in {"tools", "tool_choice"}}
    return body


def prepare(_: schemathesis.HookContext, case: schemathesis.Case, **__: Any) -> None:
    """The echo server takes a model's `seed` for the status it is to answer with, so none is sent; a value that is none still is."""
    body = as_written(case.body)
    if isinstance(body, dict) and is_positive(case):
        body = in_words(body)
    if isinstance(body, dict) and type(body.get("seed")) is int and body["seed"] in SEEDS_OF_MODELS:
        body = {name: value for name, value in body.items() if name != "seed"}
    case.body = body


def shallow(document: dict[str, Any]) -> dict[str, Any]:
    """The document with one keyword of each kind of those that clients' JSON schemas may have: each of them, at every level, would bring 500 cases more."""
    schemas = document["components"]["schemas"]
    given = schemas["GivenSchema"]
    told = {**given, "properties": {name: given["properties"][name] for name in ("$ref", "enum", "minItems", "type")}}
    return {**document, "components": {**document["components"], "schemas": {**schemas, "GivenSchema": told}}}


def run(gateway: EchoGateway, document: dict[str, Any]) -> Seen:
    seen = Seen()
    schema = schemathesis.openapi.from_dict(document, config=config(gateway))
    schemathesis.hook("before_call")(prepare)
    try:
        for event in from_schema(schema).execute():
            if isinstance(event, events.NonFatalError):
                seen.faults.append(f"{event.label}: {event.info.title}: {event.info.message}")
            elif isinstance(event, events.FatalError):
                raise event.exception
            elif isinstance(event, events.ScenarioFinished):
                count(event.recorder, seen)
    finally:
        unregister(prepare)
    return seen


def is_positive(case: schemathesis.Case) -> bool:
    return case.meta is None or case.meta.generation.mode.is_positive


def count(recorder: Any, seen: Seen) -> None:
    for case_id, interaction in recorder.interactions.items():
        case, response = recorder.cases[case_id].value, interaction.response
        if response is not None:
            seen.answers[case.operation.label, is_positive(case), response.status_code] += 1
    for case_id, checks in recorder.checks.items():
        for check in checks:
            seen.checks[check.name] += 1
            if check.status is not Status.SUCCESS:
                why = check.failure_info.failure if check.failure_info else "the check broke"
                answer = recorder.interactions[case_id].response
                seen.faults.append(f"{recorder.label}: {check.name}: {why}: {answer and answer.text!r:.300}: {recorder.cases[case_id].value.body!r:.300}")


def test_the_gateway_takes_what_its_document_allows_and_refuses_the_rest_as_it_says(echo_gateway: EchoGateway) -> None:
    seen = run(echo_gateway, shallow(openapi_document(load_policy())))
    assert not seen.faults, "\n".join(seen.faults)
    for name in CHECKS:
        assert seen.checks[name], name
    for route in load_policy().routes:
        label = f"{route.method} {route.path}"
        assert seen.answers[label, True, 200], label
        if route.body is not None:
            assert seen.answers[label, True, 200] + seen.answers[label, False, 400] > EXAMPLES, label
