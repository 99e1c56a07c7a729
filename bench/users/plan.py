"""What each user says and when, and how many users there are when: functions of the scenario and the seed alone (logic)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.seeds import derive, stream
from bench.users.scenario import Scenario, UserClass


@dataclass(frozen=True)
class Turn:
    """One request of a journey and the pause after its answer."""

    step: str
    text: str
    max_tokens: int
    think_s: float


def journey_turns(scenario: Scenario, user_class: UserClass, *, seed: int, user: int, journey: int) -> tuple[Turn, ...]:
    """Journey `journey` (from 0) of user number `user` of a class.

    It has a random stream of its own: neither how many workers there are nor what happened in an earlier journey changes it.
    """
    name = f"users.{user_class.name}.{user}"
    random = stream(derive(seed, name, journey), "turns")
    turns = [
        Turn(
            step=step.name,
            text=step.say[0] if len(step.say) == 1 else random.choice(step.say),
            max_tokens=step.max_tokens,
            think_s=random.uniform(*step.think_s),
        )
        for step in user_class.journey
        for _ in range(step.repeat)
    ]
    if scenario.salt:
        first = turns[0]
        turns[0] = Turn(first.step, f"[{derive(seed, f'{name}.salt', journey):016x}] {first.text}", first.max_tokens, first.think_s)
    return tuple(turns)


def request_body(scenario: Scenario, said: Sequence[tuple[str, str]], *, max_tokens: int) -> bytes:
    """A streaming chat completion of the conversation so far, as pairs of role and text, that asks for the usage block."""
    body: dict[str, Any] = {
        "messages": [{"role": role, "content": text} for role, text in said],
        "model": scenario.model,
        "max_tokens": max_tokens,
        "temperature": scenario.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if scenario.ignore_eos:
        body["ignore_eos"] = True
    return json.dumps(body).encode()


@dataclass(frozen=True)
class Tick:
    """The users that should be there at a moment, and how many seconds that stays so."""

    users: int
    spawn_rate: float
    left_s: float


def tick_at(scenario: Scenario, elapsed_s: float) -> Tick | None:
    """The stage at `elapsed_s` after the start; None after the last."""
    end_s = 0.0
    for stage in scenario.shape:
        end_s += stage.duration_s
        if elapsed_s < end_s:
            return Tick(stage.users, stage.spawn_rate, end_s - elapsed_s)
    return None
