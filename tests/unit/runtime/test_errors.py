"""Validation faults become one line that names the field and the mend."""

import pytest
from pydantic import BaseModel, Field, ValidationError

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
