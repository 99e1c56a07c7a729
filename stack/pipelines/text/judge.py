"""A choice of rules with their thresholds, applied to one text (pure)."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from stack.pipelines.text.c4_lines import count_sentences, kept_lines
from stack.pipelines.text.measures import Measures
from stack.pipelines.text.rules import FEWEST_SENTENCES, LINE_RULES, RULES, SENTENCES, Rule, Threshold, chosen, failed


class Failure(NamedTuple):
    rule: str
    measured: str


class Test(NamedTuple):
    rule: str
    measure: Callable[[Measures], float | None]
    fails: Callable[[float], bool]


class Judge:
    """`rules`: as in `rules.chosen`; `overrides`: checked thresholds by rule."""

    def __init__(self, rules: tuple[str, ...], overrides: dict[str, Threshold]) -> None:
        names = chosen(rules)
        self._line_limits = {name: _number(overrides.get(name, LINE_RULES[name].threshold or 0)) for name in names if name in LINE_RULES}
        self._tests = [_test_of(RULES[name], overrides.get(name, RULES[name].threshold)) for name in names if name in RULES]
        if SENTENCES in names:
            fewest = _number(overrides.get(SENTENCES, FEWEST_SENTENCES))
            self._tests.insert(0, Test(SENTENCES, lambda text: count_sentences(text, self._line_limits), lambda value: value < fewest))

    def failures(self, text: Measures) -> Iterator[Failure]:
        """The rules that the text fails, in the order of `rules.NAMES`; those after the first are not computed unless asked for."""
        for rule, measure, fails in self._tests:
            value = measure(text)
            if value is not None and fails(value):
                yield Failure(rule, f"{value:.4g}")

    def cut(self, text: Measures) -> str:
        """The text without the lines that rules on lines fail. One that loses nothing keeps its empty lines, which part paragraphs."""
        kept = kept_lines(text, self._line_limits)
        return text.text if len(kept) == len(text.lines) else "\n".join(kept)


@lru_cache(maxsize=16)
def judge(rules: tuple[str, ...], overrides: tuple[tuple[str, Threshold], ...]) -> Judge:
    return Judge(rules, dict(overrides))


def _test_of(rule: Rule, threshold: Threshold) -> Test:
    return Test(rule.name, rule.measure, lambda value: failed(rule, value, threshold))


def _number(threshold: Threshold) -> float:
    assert not isinstance(threshold, tuple)  # the stage has checked it
    return threshold
