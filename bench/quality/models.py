"""Questions, answers, and what they say of a claim (models; no I/O)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from bench.frozen import Frozen

Score = Literal["exact_match", "regex", "choice_logprob"]
Interval = tuple[float, float]


class Expected(Frozen):
    """What makes an answer right; which fields stand depends on the task's score."""

    answers: tuple[str, ...] = Field(default=(), description="Any of these; for choice_logprob the right choice")
    pattern: str | None = Field(default=None, description="Regular expression; with `answers`, what it finds must be one of them")
    choices: tuple[str, ...] = Field(default=(), description="Continuations of the prompt, of which the likeliest is the model's answer")


class Item(Frozen):
    """One question."""

    id: str
    prompt: str
    system: str | None
    expected: Expected


class TaskInfo(Frozen):
    """Which task was asked, and how; the first line of quality.jsonl."""

    file: str = Field(description="Name without its folder")
    sha256: str = Field(description="Of the whole file")
    score: Score
    max_tokens: int
    items: int = Field(description="Questions to ask, `limit` taken into account")
    run_started_ns: int = Field(default=0, description="Of the run it was asked after, as in RunInfo")


class Answered(Frozen):
    """One question and what became of it; a further line of quality.jsonl."""

    id: str
    expected: Expected
    answer: str | None = Field(default=None, description="What the model said, or the choice it finds likeliest; null for a request that failed")
    logprobs: tuple[float, ...] = Field(default=(), description="Of each choice, summed over its tokens, natural logarithm")
    right: bool
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish_reason: str | None = None
    error: str = ""


class QualityAnswers(Frozen):
    """A task as it was asked; fewer answers than `task.items` when the asking was cut off."""

    task: TaskInfo
    answers: tuple[Answered, ...]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = {answer.id for answer in self.answers}
        if len(names) < len(self.answers) or len(self.answers) > self.task.items:
            raise ValueError("answers: each question of the task at most once")
        return self


class AccuracyView(Frozen):
    """The share of right answers against its floor."""

    score: Score
    task_sha256: str | None = Field(description="Null when the task was never asked")
    asked: int
    right: int
    failed: int = Field(description="Requests without an answer; each counts as not right")
    accuracy: float | None
    interval_95: Interval | None = Field(description="Wilson's score interval")
    floor: float
    holds: bool | None = Field(description="Above the floor or below it with its whole interval; null: cannot be told")


class LengthView(Frozen):
    """Mean output tokens of the measured requests that succeeded, against the reference model's."""

    requests: int
    output_tokens_mean: float | None
    interval_95: Interval | None = Field(description="Student's t interval of the mean")
    reference: float
    ratio: float | None
    low: float
    high: float
    holds: bool | None = Field(description="Whether `ratio` lies in `low` to `high`; null: the lengths are unknown")


class QualityView(Frozen):
    """Whether what was fast was also right, and as long as it should be; null for what the workload does not ask for."""

    accuracy: AccuracyView | None = None
    lengths: LengthView | None = None
