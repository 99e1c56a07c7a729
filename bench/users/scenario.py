"""What the users do, and how many of them there are when (models)."""

from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from bench.frozen import Frozen
from bench.workload.arrivals import Seconds
from bench.workload.slo import PRESETS, Slo

NAME = r"^[a-z][a-z0-9-]*$"
"""Of a class or a step; a figure's name takes it with `-` as `_`, so that two never become one."""

MOST_USERS = 100_000
DEFAULT_SPAWN_RATE = 1.0

Name = Annotated[str, Field(pattern=NAME, max_length=64)]
Text = Annotated[str, Field(min_length=1)]
Users = Annotated[int, Field(ge=1, le=MOST_USERS)]
SpawnRate = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False, description="Users that begin (or leave) per second")]
Think = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]


class Step(Frozen):
    """One thing a user says, the answer, and the pause after it."""

    name: Name = Field(description="Names the step in tables, in figures and on Locust's page")
    say: tuple[Text, ...] = Field(min_length=1, description="A text, or several of which one is drawn each time")
    max_tokens: int = Field(ge=1, le=1_000_000, description="Most output tokens of the answer")
    think_s: tuple[Think, Think] = Field(default=(0.0, 0.0), description="Pause after the answer: seconds, or [least, most] to draw from uniformly")
    repeat: int = Field(default=1, ge=1, le=1000, description="Do the step so many times, drawing anew")

    @field_validator("say", mode="before")
    @classmethod
    def _one_text(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    @field_validator("think_s", mode="before")
    @classmethod
    def _one_pause(cls, given: Any) -> Any:
        return (given, given) if isinstance(given, int | float) and not isinstance(given, bool) else given

    @field_validator("think_s")
    @classmethod
    def _ordered(cls, given: tuple[float, float]) -> tuple[float, float]:
        if given[0] > given[1]:
            raise ValueError(f"least {given[0]:g} is greater than most {given[1]:g}")
        return given


class UserClass(Frozen):
    """Users of one kind: they go through the journey as one conversation, and begin a new one when it is over."""

    name: Name
    weight: float = Field(default=1.0, gt=0, le=1000, allow_inf_nan=False, description="Share of the users, relative to the other classes")
    journey: tuple[Step, ...] = Field(min_length=1)

    @field_validator("journey")
    @classmethod
    def _distinct(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        _refuse_twice([step.name for step in steps])
        return steps


class Stage(Frozen):
    """So many users, reached at `spawn_rate`, until `duration_s` has passed."""

    users: Users
    spawn_rate: SpawnRate = DEFAULT_SPAWN_RATE
    duration_s: Seconds


class Scenario(Frozen):
    """Users, their journeys and the service level that they expect."""

    name: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$", description="Empty: the name of the file")
    model: str | None = Field(default=None, min_length=1, description="Model name to ask for; may be given with --model instead")
    seed: int | None = Field(default=None, ge=0, description="Makes texts, pauses and salts reproducible; null, and no --seed: a new one for each run")
    users: Users | None = None
    spawn_rate: SpawnRate | None = Field(default=None, description="null: 1")
    duration_s: Seconds | None = Field(default=None, description="From the first user to the last request that is begun")
    stages: tuple[Stage, ...] = Field(default=(), description="Instead of users, spawn_rate and duration_s: one after the other")
    classes: tuple[UserClass, ...] = Field(min_length=1)
    slo: Slo | None = Field(default=None, description=f"Limits of one request, or a preset's name: {', '.join(PRESETS)}")
    salt: bool = Field(default=True, description="Begin each conversation with a word of its own, so that no prefix cache knows it")
    ignore_eos: bool = Field(default=False, description="Ask the engine (vLLM) for answers of exactly max_tokens")
    temperature: float = Field(default=0.0, ge=0, le=2)
    timeout_s: float = Field(default=120.0, gt=0, le=86_400, description="Longest life of one request")

    @field_validator("slo", mode="before")
    @classmethod
    def _preset(cls, given: Any) -> Any:
        if isinstance(given, str):
            if given not in PRESETS:
                raise ValueError(f"no preset {given!r}: give limits or one of {', '.join(PRESETS)}")
            return PRESETS[given]
        return given

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[UserClass, ...]) -> tuple[UserClass, ...]:
        _refuse_twice([each.name for each in classes])
        return classes

    @model_validator(mode="after")
    def _shape_is_whole(self) -> Self:
        if self.stages and (self.users, self.spawn_rate, self.duration_s) != (None, None, None):
            raise ValueError("give either stages or users, spawn_rate and duration_s")
        if not self.stages and None in (self.users, self.duration_s):
            raise ValueError("give users and duration_s, or stages")
        before = 0
        for place, stage in enumerate(self.shape):
            if (ramp_s := abs(stage.users - before) / stage.spawn_rate) > stage.duration_s:
                where = f"stages.{place}.spawn_rate" if self.stages else "spawn_rate"
                raise ValueError(f"{where}: to go from {before} to {stage.users} users takes {ramp_s:g} s, longer than duration_s {stage.duration_s:g}")
            before = stage.users
        return self

    @property
    def shape(self) -> tuple[Stage, ...]:
        """The stages, a single one where the file gives none."""
        if self.stages or self.users is None or self.duration_s is None:
            return self.stages
        return (Stage(users=self.users, spawn_rate=self.spawn_rate or DEFAULT_SPAWN_RATE, duration_s=self.duration_s),)

    @property
    def length_s(self) -> float:
        """From the first user to the end of the last stage."""
        return sum(stage.duration_s for stage in self.shape)

    @property
    def most_users(self) -> int:
        return max(stage.users for stage in self.shape)


def _refuse_twice(names: list[str]) -> None:
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"name {twice!r} stands there twice")
