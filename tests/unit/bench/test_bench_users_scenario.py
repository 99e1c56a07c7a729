"""Scenario files, and what follows from a scenario and a seed alone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.users import Scenario, load_scenario, ready_scenarios
from bench.users.nodes import Address
from bench.users.plan import Tick, journey_turns, request_body, tick_at

STEP = "{name: ask, say: [one, two, three, four], max_tokens: 8, think_s: [1, 2], repeat: 3}"
CLASSES = f"classes: [{{name: asker, journey: [{STEP}]}}]"


def write(folder: Path, text: str) -> Path:
    path = folder / "desk.yaml"
    path.write_text(text)
    return path


def scenario(**changes: Any) -> Scenario:
    step = {"name": "ask", "say": ["one", "two", "three", "four"], "max_tokens": 8, "think_s": [1, 2], "repeat": 3}
    document = {"model": "m", "users": 4, "spawn_rate": 2, "duration_s": 10, "classes": [{"name": "asker", "journey": [step, {**step, "name": "again"}]}]}
    return Scenario.model_validate({**document, **changes})


@pytest.mark.parametrize("path", ready_scenarios(), ids=lambda path: path.stem)
def test_each_ready_scenario_loads_by_its_name(path: Path) -> None:
    scenario = load_scenario(path.stem, model="m")
    assert scenario.name == path.stem
    assert Scenario.model_validate_json(scenario.model_dump_json()) == scenario


def test_one_text_and_one_pause_may_stand_without_a_list(tmp_path: Path) -> None:
    text = "{users: 1, duration_s: 5, classes: [{name: a, journey: [{name: s, say: hi, max_tokens: 4, think_s: 2}]}]}"
    (step,) = load_scenario(write(tmp_path, text)).classes[0].journey
    assert (step.say, step.think_s) == (("hi",), (2.0, 2.0))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{{users: -1, duration_s: 5, {CLASSES}}}", "field `users`"),
        (f"{{users: 1, durations: 5, {CLASSES}}}", "field `durations`"),
        (f"{{users: 1, {CLASSES}}}", "give users and duration_s, or stages"),
        (f"{{users: 1, duration_s: 5, stages: [{{users: 1, duration_s: 5}}], {CLASSES}}}", "give either stages or users"),
        (f"{{users: 100, spawn_rate: 1, duration_s: 5, {CLASSES}}}", "spawn_rate: to go from 0 to 100 users takes 100 s"),
        (f"{{stages: [{{users: 5, spawn_rate: 5, duration_s: 5}}, {{users: 1, spawn_rate: 0.1, duration_s: 5}}], {CLASSES}}}", "stages.1.spawn_rate"),
        (f"{{users: 1, duration_s: 5, slo: fast, {CLASSES}}}", "no preset 'fast'"),
        ("{users: 1, duration_s: 5, classes: [{name: a, journey: []}]}", "field `classes.0.journey`"),
        (f"{{users: 1, duration_s: 5, classes: [{{name: a, journey: [{STEP}, {STEP}]}}]}}", "name 'ask' stands there twice"),
        (f"{{users: 1, duration_s: 5, {CLASSES.replace('[1, 2]', '[3, 2]')}}}", "field `classes.0.journey.0.think_s`: least 3 is greater than most 2"),
        (f"{{users: 1, duration_s: 5, {CLASSES.replace('name: ask,', 'name: Ask it,')}}}", "field `classes.0.journey.0.name`"),
        ("[users]", "one mapping"),
        ("{users", "not YAML"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_field(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BenchError) as found:
        load_scenario(write(tmp_path, text))
    assert words in str(found.value)
    assert "\n" not in str(found.value)


def test_an_unknown_scenario_names_the_ready_ones() -> None:
    with pytest.raises(BenchError, match="clinic-desk"):
        load_scenario("nothing-like-it")


def test_a_journey_repeats_its_steps_draws_texts_and_pauses_and_salts_the_first_text() -> None:
    chosen = scenario()
    turns = journey_turns(chosen, chosen.classes[0], seed=1, user=0, journey=0)
    assert [turn.step for turn in turns] == ["ask"] * 3 + ["again"] * 3
    assert all(1 <= turn.think_s <= 2 for turn in turns)
    assert turns[0].text.startswith("[")
    assert all(turn.text in ("one", "two", "three", "four") for turn in turns[1:])
    assert len({turn.think_s for turn in turns}) == 6


def test_without_a_salt_the_first_text_is_as_it_stands() -> None:
    chosen = scenario(salt=False)
    assert journey_turns(chosen, chosen.classes[0], seed=1, user=0, journey=0)[0].text in ("one", "two", "three", "four")


@given(st.integers(0, 2**32), st.integers(0, 1000), st.integers(0, 1000))
def test_the_same_seed_user_and_journey_give_the_same_turns_and_others_differ(seed: int, user: int, journey: int) -> None:
    chosen = scenario()
    (asker,) = chosen.classes
    turns = journey_turns(chosen, asker, seed=seed, user=user, journey=journey)
    assert turns == journey_turns(chosen, asker, seed=seed, user=user, journey=journey)
    assert turns[0].text != journey_turns(chosen, asker, seed=seed, user=user + 1, journey=journey)[0].text
    assert turns[0].text != journey_turns(chosen, asker, seed=seed, user=user, journey=journey + 1)[0].text
    assert turns[0].text != journey_turns(chosen, asker, seed=seed + 1, user=user, journey=journey)[0].text


def test_a_request_carries_the_conversation_and_asks_for_usage() -> None:
    body = json.loads(request_body(scenario(ignore_eos=True), [("user", "hi"), ("assistant", "hello"), ("user", "why?")], max_tokens=7))
    assert [message["content"] for message in body["messages"]] == ["hi", "hello", "why?"]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert (body["model"], body["max_tokens"], body["stream"], body["ignore_eos"]) == ("m", 7, True, True)
    assert body["stream_options"] == {"include_usage": True}


def test_stages_follow_one_another_and_end() -> None:
    stages = [{"users": 2, "spawn_rate": 1, "duration_s": 10}, {"users": 5, "spawn_rate": 3, "duration_s": 20}]
    chosen = Scenario.model_validate({**scenario().model_dump(exclude_defaults=True, exclude={"users", "spawn_rate", "duration_s"}), "stages": stages})
    assert tick_at(chosen, 0) == Tick(users=2, spawn_rate=1, left_s=10)
    assert tick_at(chosen, 10) == Tick(users=5, spawn_rate=3, left_s=20)
    assert tick_at(chosen, 30) is None
    assert (chosen.length_s, chosen.most_users) == (30, 5)


@given(st.floats(0, 10, exclude_max=True))
def test_a_tick_says_how_long_it_holds(elapsed_s: float) -> None:
    now = tick_at(scenario(), elapsed_s)
    assert now is not None
    assert elapsed_s + now.left_s == pytest.approx(10)


@pytest.mark.parametrize(
    ("given_", "host", "port"), [("a.example", "a.example", 5557), ("10.0.0.1:99", "10.0.0.1", 99), ("[::1]:7", "::1", 7), ("[::1]", "::1", 5557)]
)
def test_an_address_may_leave_its_port_out(given_: str, host: str, port: int) -> None:
    assert Address.parse(given_, option="--master-host") == Address(host, port)


@pytest.mark.parametrize("given_", ["", ":5", "a:b", "a:0", "a:70000"])
def test_an_address_that_is_none_names_its_option(given_: str) -> None:
    with pytest.raises(BenchError, match="--master-bind"):
        Address.parse(given_, option="--master-bind")


@pytest.mark.slow
def test_neither_locust_nor_gevent_is_imported_by_the_command() -> None:
    program = (
        "import sys, stack.cli.main, bench.users.run, bench.users.evidence, bench.users.watch;"
        "sys.exit(any(name.partition('.')[0] in ('locust', 'gevent') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_scenario_of_the_page_about_users_is_one(tmp_path: Path) -> None:
    page = Path(__file__).parents[3] / "docs" / "users.md"
    text = page.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    assert [each.name for each in load_scenario(write(tmp_path, text)).classes] == ["patient", "reception"]
