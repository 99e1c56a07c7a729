"""Figures say what they are."""

import pytest
from pydantic import ValidationError

from stack.evidence import Figure, FigureClass, RecordDraft


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_figure_is_finite_or_unknown(value: float) -> None:
    with pytest.raises(ValidationError, match="must be finite"):
        Figure(name="x", value=value, kind=FigureClass.MEASURED)
    assert Figure(name="x", value=None, kind=FigureClass.MEASURED, note="no samples").value is None


def test_figure_names_are_unique_in_a_record() -> None:
    figure = Figure(name="x", value=1, kind=FigureClass.COMPUTED)
    with pytest.raises(ValidationError, match=r"figure names repeat: \['x'\]"):
        RecordDraft(kind="bench", title="t", figures=(figure, figure))
