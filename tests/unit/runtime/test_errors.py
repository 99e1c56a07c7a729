"""Validation faults become one line that names the field and the mend."""

from typing import Annotated, Any, Literal, Self

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stack.runtime.errors import describe_validation


class Arrivals(BaseModel):
    rate: float = Field(gt=0)
    streams: int


class Workload(BaseModel):
    arrivals: Arrivals


def test_the_line_names_source_field_and_value_and_counts_the_rest() -> None:
    with pytest.raises(ValidationError) as caught:
        Workload.model_validate({"arrivals": {"rate": -3}})
    line = describe_validation(caught.value, source="w.yaml")
    assert line == "w.yaml: field `arrivals.rate`: Input should be greater than 0, got -3 (and 1 more)"


def test_a_long_value_is_cut() -> None:
    with pytest.raises(ValidationError) as caught:
        Workload.model_validate({"arrivals": {"rate": "x" * 10_000, "streams": 1}})
    assert len(describe_validation(caught.value, source="w.yaml")) < 250


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Poisson(Closed):
    kind: Literal["poisson"]
    rate: float = Field(gt=0)


class Streams(Closed):
    kind: Literal["streams"]
    count: int = Field(gt=0, strict=True)

    @model_validator(mode="after")
    def _even(self) -> Self:
        if self.count % 2:
            raise ValueError("`count` must be even")
        return self


class Load(Closed):
    by_kind: Annotated[Poisson | Streams, Field(discriminator="kind")] | None = None
    either: Streams | Literal["off"] | None = None
    several: dict[Annotated[str, Field(pattern="^[a-z]+$")], tuple[Streams | int, ...]] = {}
    window: float = Field(default=1, alias="window_s", gt=0)


def told(document: object, model: type[BaseModel] | None = Load) -> str:
    with pytest.raises(ValidationError) as caught:
        Load.model_validate(document)
    return describe_validation(caught.value, source="w", model=model)


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ({"by_kind": {"kind": "poisson", "rate": -3}}, "w: field `by_kind.rate`: Input should be greater than 0, got -3"),
        ({"by_kind": {"kind": "streams", "rate": 3, "count": 2}}, "w: field `by_kind.rate`: is not known here: known are kind, count"),
        ({"either": {"kind": "streams", "count": 3}}, "w: field `either`: `count` must be even"),
        ({"either": {"kind": "streams", "count": 0}}, "w: field `either.count`: Input should be greater than 0, got 0"),
        ({"several": {"a": [1, {"kind": "streams", "count": 0}]}}, "w: field `several.a.1.count`: Input should be greater than 0, got 0"),
        ({"several": {"A": []}}, "w: field `several.A`: String should match pattern '^[a-z]+$', got 'A'"),
        ({"window_s": 0}, "w: field `window_s`: Input should be greater than 0, got 0"),
        ({"window": 1}, "w: field `window`: is not known here: did you mean `window_s`?"),
        ({"by_kind": {"kind": "streams", "cuont": 2}}, "w: field `by_kind.cuont`: is not known here: did you mean `count`?"),
        ({"by_kind": {"kind": "streams", "colour": 2}}, "w: field `by_kind.count`: Field required (and 1 more)"),
        ({"colour": 1}, "w: field `colour`: is not known here: known are by_kind, either, several, window_s"),
        ([], "w: field `(document)`: Input should be a valid dictionary or instance of Load"),
    ],
)
def test_with_its_model_a_fault_has_the_name_that_a_user_wrote(document: object, line: str) -> None:
    assert told(document) == line


def test_without_its_model_validators_and_literals_are_left_out_all_the_same() -> None:
    assert told({"either": {"kind": "streams", "count": 3}}, model=None) == "w: field `either`: `count` must be even"
    assert told({"colour": 1}, model=None) == "w: field `colour`: is not known here: take it out, or correct its name"


def test_text_for_a_number_is_called_text() -> None:
    assert told({"by_kind": {"kind": "streams", "count": "2"}}) == "w: field `by_kind.count`: Input should be a valid integer, got the text '2'"


def test_what_is_around_a_fault_is_not_counted_beside_it() -> None:
    one: dict[str, Any] = {"several": {"a": [{"kind": "streams", "count": 0}]}}
    assert "more" not in told(one)
    assert told({**one, "window_s": 0}).endswith(" (and 1 more)")


def test_a_number_of_thousands_of_digits_is_told_by_its_size() -> None:
    assert told({"by_kind": {"kind": "poisson", "rate": -(1 << 20_000)}}).endswith(", got a number of 20001 bits")


def test_a_file_of_nothing_but_faults_is_told_in_time_and_in_one_short_line() -> None:
    line = told({"x" * 1000: 1, **{f"field{index}": index for index in range(20_000)}})
    assert line.startswith("w: field `xxx")
    assert line.endswith(" (and 20000 more)")
    assert len(line) < 350
