"""Quality of texts by the published heuristics of C4, Gopher and FineWeb."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from stack.pipelines.base import Batch, RecordStage, Stage, Work
from stack.pipelines.text.judge import judge
from stack.pipelines.text.measures import Measures
from stack.pipelines.text.normalise import Normalise
from stack.pipelines.text.rules import LINE_RULES, NEED_LINES, SENTENCES, SETS, checked_override, chosen


class Quality(RecordStage):
    """Drops a record at the first rule it fails (reason: the rule, detail: what was measured), or marks it with all of them.

    The rules were made for web pages in English: `gopher_word_count` alone drops every text of fewer than 50 words. For messages name the
    rules that fit, or set thresholds. Rules on lines need lines: put `whitespace: lines` in the normalise stage before (`order_hint`).
    Sources and thresholds: `stack.pipelines.text.rules`.
    """

    kind: Literal["quality"] = "quality"
    rules: tuple[str, ...] = Field(default=SETS, description="sets (c4, gopher, fineweb) and rules; a - takes one out again: [gopher, -gopher_stop_words]")
    overrides: dict[str, float | tuple[float, float]] = Field(default_factory=dict, description="rule to threshold; gopher_word_count: [5, 1000]")
    mark: bool = Field(default=False, description="true: keep all records and name the rules they fail in the column quality_failed, with commas between")
    cut_lines: bool = Field(
        default=False, description="true: take lines that fail C4's rules on lines out of the text, as C4 does, once the other rules were tried"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Quality":
        names = chosen(self.rules)
        for name, value in self.overrides.items():
            if name not in names:
                raise ValueError(f"overrides: {name!r} is not among the chosen rules: {', '.join(names)}")
            checked_override(name, value)
        of_lines = [name for name in names if name in LINE_RULES]
        if of_lines and SENTENCES not in names and not self.cut_lines:
            raise ValueError(f"rules: {', '.join(of_lines)} judge lines; add {SENTENCES}, which counts what they leave, or cut_lines: true")
        if self.cut_lines and not of_lines:
            raise ValueError("cut_lines: no rule on lines is chosen; add c4 or one of " + ", ".join(LINE_RULES))
        return self

    def in_words(self) -> str:
        what = "mark" if self.mark else "drop"
        return f"quality: {what} by {', '.join(self.rules)} ({len(chosen(self.rules))} rules)" + ("; cut lines as C4 does" if self.cut_lines else "")

    def apply(self, batch: Batch, work: Work) -> None:  # noqa: ARG002 -- the contract of stages
        by = judge(self.rules, tuple(sorted(self.overrides.items())))
        languages = batch.columns.get("language") or [""] * len(batch)
        measured = [Measures(text, language or "") for text, language in zip(batch.texts, languages, strict=True)]
        dropped: dict[int, tuple[str, str]] = {}
        if self.mark:
            batch.columns["quality_failed"] = [",".join(failure.rule for failure in by.failures(text)) for text in measured]
        else:
            dropped = {at: failure for at, text in enumerate(measured) if (failure := next(by.failures(text), None))}
        if self.cut_lines:
            batch.columns["text"] = texts = [by.cut(text) for text in measured]
            dropped = {at: ("c4_no_line_left", "0") for at, text in enumerate(texts) if not text} | dropped
        batch.drop(dropped, stage=self.kind)


def order_hint(stages: Sequence[Stage]) -> str | None:
    """What to change when rules on lines come after a stage that has made one line of each text; None when all is well."""
    flat = False
    for stage in stages:
        if isinstance(stage, Normalise):
            flat = flat or stage.whitespace is True
        elif flat and isinstance(stage, Quality) and (names := [name for name in chosen(stage.rules) if name in NEED_LINES]):
            return f"quality: {', '.join(names)} need lines, which normalise has joined; set normalise.whitespace to lines"
    return None
