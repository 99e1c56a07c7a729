"""Progress away from a terminal: plain lines, on the given stream only."""

import io

import pytest

from stack.runtime import progress
from stack.runtime.progress import Reporter


def test_a_step_says_that_it_began_and_how_long_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    with Reporter(out).step("convert model") as step:
        step.note("bf16")
    lines = out.getvalue().splitlines()
    assert lines[0] == "convert model ..."
    assert lines[1].startswith("convert model: done in 0.")
    assert lines[1].endswith("(bf16)")
    assert capsys.readouterr().out == ""


def test_a_counted_step_tells_count_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_LINE_EVERY_S", 0.0)
    out = io.StringIO()
    with Reporter(out).step("label", total=4) as step:
        step.advance(2)
    assert "label 2/4 (0 s, about 0 s left)" in out.getvalue()


def test_a_failed_step_is_not_called_done() -> None:
    out = io.StringIO()

    def fail() -> None:
        with Reporter(out).step("load"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert "done" not in out.getvalue()
