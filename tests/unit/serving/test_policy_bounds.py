"""Whatever number a policy may hold, Envoy can hold: told when the file is read, not when the engine is up."""

import copy
import json
import math
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jsonschema
import pytest
import yaml
from google.protobuf.duration_pb2 import Duration
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from test_envoy_config import LOCAL, walk
from test_plan_renderings import CHART, merged

from stack.hardware_profiles import Inventory
from stack.serving import CI_MODEL, find_model, make_plan
from stack.serving.envoy_process import envoy_binary
from stack.serving.gateway import render_envoy
from stack.serving.helm_values import chart_values
from stack.serving.policy import GatewayPolicy, Metrics, load_policy, parse_policy

ADDRESSES = LOCAL.model_copy(update={"secrets": "/run/secrets"})
WHOLE: dict[str, Any] = {
    **load_policy().model_dump(mode="json"),
    "issuers": [{"issuer": "https://login.example", "audiences": ["stack"], "key_set": "/etc/keys.jwks"}],
    "tracing": {"endpoint": "http://collector:4318/v1/traces"},
    "metrics": {"gateway": "127.0.0.1:9902", "policy_service": "127.0.0.1:9903"},
    "classes": {"default": {}},
}
"""A policy with a place for every number there is."""
PLACES = {"Limits": "limits", "Timeouts": "timeouts", "Requests": "requests", "Routing": "routing", "Tracing": "tracing", "RateClass": "classes.default"}
DURATION = re.compile(r"[-+]?(\d|inf|nan)[\w.+-]*s")
MOST_UINT32 = 2**32 - 1
LEAST_SHARE = 0.01
"""Percent; see `Tracing.sample_percent`."""


class Number(NamedTuple):
    place: str
    kind: Literal["integer", "number"]
    least: float | None
    most: float | None


def numbers() -> list[Number]:
    """Of every model that a policy is made of."""
    schema = GatewayPolicy.model_json_schema()
    return [
        Number(f"{PLACES[model]}.{field}", each["type"], each.get("minimum"), each.get("maximum"))
        for model, told in {**schema["$defs"], "GatewayPolicy": schema}.items()
        for field, about in told["properties"].items()
        for each in (about, *about.get("anyOf", []))
        if each.get("type") in ("integer", "number") and "const" not in each
    ]


NUMBERS = numbers()
BY_PLACE = pytest.mark.parametrize("number", NUMBERS, ids=[number.place for number in NUMBERS])


def put(document: dict[str, Any], place: str, value: object) -> dict[str, Any]:
    *way, field = place.split(".")
    inner = document
    for step in way:
        inner = inner[step]
    inner[field] = value
    return document


def policy_of(value_of: Callable[[Number], float], **routing: str) -> GatewayPolicy:
    document = copy.deepcopy(WHOLE)
    for number in NUMBERS:
        put(document, number.place, value_of(number))
    document["routing"].update(routing)
    return GatewayPolicy.model_validate(document)


def least(number: Number) -> float:
    assert number.least is not None
    return number.least


def most(number: Number) -> float:
    assert number.most is not None
    return number.most


AT_ONCE = pytest.mark.parametrize(("value_of", "by"), [(least, "least-request"), (most, "prefix")], ids=["least", "most"])


def test_every_part_of_a_policy_with_numbers_is_looked_at() -> None:
    assert {number.place.rpartition(".")[0] for number in NUMBERS} == set(PLACES.values())
    shipped = {f"{part}.{name}" for part, held in load_policy() if hasattr(held, "model_dump") for name, value in held if type(value) in (int, float)}
    assert shipped
    assert shipped <= {number.place for number in NUMBERS}


@BY_PLACE
def test_a_number_is_taken_up_to_its_bounds_and_not_beyond(number: Number) -> None:
    step = 1 if number.kind == "integer" else 0.0005
    for value in (least(number), most(number)):
        GatewayPolicy.model_validate(put(copy.deepcopy(WHOLE), number.place, value))
    for value in (least(number) - step, most(number) + step, 10**30, -(10**30), *([math.inf, -math.inf, math.nan, 1e300] if number.kind == "number" else [])):
        with pytest.raises(ValidationError, match=re.escape(number.place.rpartition(".")[2])):
            GatewayPolicy.model_validate(put(copy.deepcopy(WHOLE), number.place, value))


@BY_PLACE
def test_a_number_is_no_text_and_no_yes_and_only_where_fractions_are_a_fraction(number: Number) -> None:
    wrong = [str(most(number)), True, *([float(most(number))] if number.kind == "integer" else [])]
    for value in wrong:
        with pytest.raises(ValidationError, match=re.escape(number.place.rpartition(".")[2])):
            GatewayPolicy.model_validate(put(copy.deepcopy(WHOLE), number.place, value))
    if number.kind == "number":
        GatewayPolicy.model_validate(put(copy.deepcopy(WHOLE), number.place, int(most(number))))


def drawn(number: Number) -> st.SearchStrategy[float]:
    if number.kind == "integer":
        return st.integers(int(least(number)), int(most(number)))
    return st.floats(least(number), most(number)).filter(lambda value: not 0 < value < LEAST_SHARE or "sample" not in number.place)


POLICIES = st.builds(
    lambda values, by: policy_of(dict(zip(NUMBERS, values, strict=True)).__getitem__, by=by),
    st.tuples(*(st.one_of(st.just(least(number)), st.just(most(number)), drawn(number)) for number in NUMBERS)),
    st.sampled_from(["least-request", "prefix"]),
)


def seconds_of(text: str) -> float:
    """ValueError for what protobuf does not read as a duration."""
    told = Duration()
    told.FromJsonString(text)
    return told.seconds + told.nanos / 1e9


@given(POLICIES)
@settings(max_examples=50, deadline=None)
def test_whatever_is_read_is_rendered_to_what_envoys_types_hold(policy: GatewayPolicy) -> None:
    values = [value for _, value in walk(render_envoy(policy, ADDRESSES))]
    durations = [seconds_of(value) for value in values if isinstance(value, str) and DURATION.fullmatch(value)]
    assert all(each >= 0.001 for each in durations), "0 would be no limit at all"
    wanted = [*policy.timeouts.model_dump().values(), *(value for name, value in policy.routing if name.endswith("_s"))]
    assert all(any(math.isclose(each, seconds, rel_tol=1e-5) for each in durations) for seconds in wanted)
    assert all(0 <= value <= MOST_UINT32 for value in values if type(value) is int)
    assert all(math.isfinite(value) for value in values if isinstance(value, float))


@AT_ONCE
def test_the_chart_takes_every_bound_at_once(make_inventory: Callable[..., Inventory], value_of: Callable[[Number], float], by: str) -> None:
    policy = policy_of(value_of, by=by).model_copy(update={"metrics": Metrics()})
    values = chart_values(make_plan(make_inventory(), find_model(CI_MODEL)), policy)
    whole = merged(yaml.load((CHART / "values.yaml").read_text(), yaml.CSafeLoader), values)
    jsonschema.Draft202012Validator(json.loads((CHART / "values.schema.json").read_text())).validate(whole)
    assert parse_policy(values["authz"]["policy"], source="values").timeouts == policy.timeouts


@pytest.mark.slow
@AT_ONCE
def test_envoy_itself_accepts_every_bound_at_once(tmp_path: Path, value_of: Callable[[Number], float], by: str) -> None:
    config = tmp_path / "envoy.yaml"
    config.write_text(yaml.safe_dump(render_envoy(policy_of(value_of, by=by), ADDRESSES)))
    done = subprocess.run([envoy_binary(), "--mode", "validate", "-c", config], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
