"""The published quality rules: name, set, measure and threshold.

Sources, and where the papers and datatrove (huggingface/datatrove, as of 2024) differ; the papers' values are the defaults here:

* **c4**: Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", JMLR 21 (2020) 140, section
  2.2: at least 3 sentences, of lines with at least 5 words. arXiv's first version and datatrove have 5 sentences and 3 words. The word of
  more than 1,000 characters and the policy phrases are in the reference code (tensorflow_datasets c4_utils) and datatrove. The paper
  drops a page with `lorem ipsum` or `{` anywhere; both programs look at the lines that other rules kept. Not here: the list of bad words,
  repeated three-sentence spans (a job of deduplication), and citation marks.
* **gopher**: Rae et al., "Scaling Language Models: Methods, Analysis & Insights from Training Gopher", arXiv 2112.11446 (2021), appendix
  A.1.1 and table A1. "At least two" stop words: different ones here, occurrences in datatrove. The most frequent n-gram counts only if it
  occurs twice; datatrove counts one that occurs once, which drops short texts. Shares of characters are of the words' characters here,
  of the whole text in datatrove.
* **fineweb**: Penedo et al., "The FineWeb Datasets", arXiv 2406.17557 (2024), section 3.6: characters in duplicated lines >= 0.1 (datatrove's
  default is 0.01) and lines shorter than 30 characters (datatrove: 30 too). The ratio of new lines to words is in datatrove only: it is no
  part of the set, and can be named.

For scripts without spaces between words (Thai, Lao, Burmese, Khmer, Chinese, Japanese) rules on words are not applied, for Thai and Lao
neither are rules on punctuation; stop words are looked for in English and in texts whose language is not known.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from stack.pipelines.text.measures import BULLETS, ELLIPSES, Measures

Threshold = float | tuple[float, float]
SETS = ("c4", "gopher", "fineweb")


@dataclass(frozen=True)
class Rule:
    """A text fails when its measure is below, above, outside (a pair), at most or at least the threshold. None: the rule says nothing of it."""

    name: str
    measure: Callable[[Measures], float | None]
    fails: Literal["below", "above", "outside", "at_most", "at_least"]
    threshold: Threshold
    in_set: bool = True

    @property
    def set(self) -> str:
        return self.name.split("_", 1)[0] if self.in_set else ""


@dataclass(frozen=True)
class LineRule:
    """C4's rules on lines: what they fail does not count among the sentences of `c4_sentences`. No threshold: it cannot be set."""

    name: str
    threshold: float | None
    set: str = "c4"


LINE_RULES = {
    rule.name: rule
    for rule in (
        LineRule("c4_long_word", 1000),
        LineRule("c4_line_punctuation", None),
        LineRule("c4_line_words", 5),
        LineRule("c4_javascript", None),
        LineRule("c4_policy", None),
    )
}
SENTENCES = "c4_sentences"
FEWEST_SENTENCES = 3
_TOP = {2: 0.20, 3: 0.18, 4: 0.16}
_DUPLICATE = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}


def _n_gram(size: int) -> Callable[[Measures], float | None]:
    return lambda text: text.n_gram(size)


RULES = {
    rule.name: rule
    for rule in (
        Rule("c4_lorem_ipsum", lambda text: text.text.lower().count("lorem ipsum"), "above", 0),
        Rule("c4_curly_bracket", lambda text: text.text.count("{"), "above", 0),
        Rule("gopher_word_count", Measures.word_count, "outside", (50, 100_000)),
        Rule("gopher_mean_word_length", Measures.mean_word_length, "outside", (3, 10)),
        Rule("gopher_hash_ratio", lambda text: text.per_word("#"), "above", 0.1),
        Rule("gopher_ellipsis_ratio", lambda text: text.per_word(*ELLIPSES), "above", 0.1),
        Rule("gopher_bullet_lines", lambda text: text.lines_starting(BULLETS), "above", 0.9),
        Rule("gopher_ellipsis_lines", lambda text: text.lines_ending(ELLIPSES), "above", 0.3),
        Rule("gopher_alphabetic_words", Measures.lettered_words, "below", 0.8),
        Rule("gopher_stop_words", Measures.stop_words, "below", 2),
        Rule("gopher_duplicate_lines", Measures.repeated_lines, "above", 0.30),
        Rule("gopher_duplicate_paragraphs", Measures.repeated_paragraphs, "above", 0.30),
        Rule("gopher_duplicate_line_chars", Measures.repeated_line_characters, "above", 0.20),
        Rule("gopher_duplicate_paragraph_chars", Measures.repeated_paragraph_characters, "above", 0.20),
        *(Rule(f"gopher_top_{size}_gram", _n_gram(size), "above", most) for size, most in _TOP.items()),
        *(Rule(f"gopher_duplicate_{size}_gram", _n_gram(size), "above", most) for size, most in _DUPLICATE.items()),
        Rule("fineweb_line_punct", Measures.lines_ending_sentences, "at_most", 0.12),
        Rule("fineweb_duplicate_line_chars", Measures.repeated_line_characters, "at_least", 0.1),
        Rule("fineweb_short_lines", lambda text: text.lines_shorter(30), "at_least", 0.67),
        Rule("fineweb_new_lines", Measures.new_lines_per_word, "above", 0.3, in_set=False),
    )
}
NAMES = (*LINE_RULES, SENTENCES, *RULES)
NEED_LINES = frozenset(name for name in NAMES if name == SENTENCES or "line" in name or "paragraph" in name)
"""They say something else, or nothing, of a text that was made one line."""


def failed(rule: Rule, value: float, threshold: Threshold) -> bool:
    low, high = threshold if isinstance(threshold, tuple) else (threshold, threshold)
    match rule.fails:
        case "below":
            return value < low
        case "above":
            return value > high
        case "outside":
            return value < low or value > high
        case "at_most":
            return value <= low
        case "at_least":
            return value >= high


def chosen(entries: tuple[str, ...]) -> tuple[str, ...]:
    """Rule names in the order they are tried. An entry is a set, a rule, or one of them after `-`, which takes it out again."""
    names: set[str] = set()
    for entry in entries:
        bare = entry.removeprefix("-")
        these = _set(bare) if bare in SETS else {bare}
        if not these <= set(NAMES):
            raise ValueError(f"{bare!r} is neither a set ({', '.join(SETS)}) nor a rule: {', '.join(NAMES)}")
        names = names - these if entry.startswith("-") else names | these
    if not names:
        raise ValueError("no rule is left; name a set or a rule")
    return tuple(name for name in NAMES if name in names)


def _set(name: str) -> set[str]:
    rules: Mapping[str, Rule | LineRule] = {**LINE_RULES, **RULES}
    return {rule.name for rule in rules.values() if rule.set == name} | ({SENTENCES} if name == "c4" else set())


def checked_override(name: str, value: Threshold) -> Threshold:
    """ValueError when the rule has no threshold, or one of another shape."""
    default: Threshold | None = FEWEST_SENTENCES if name == SENTENCES else LINE_RULES[name].threshold if name in LINE_RULES else RULES[name].threshold
    if default is None:
        raise ValueError(f"{name} has no threshold; take the rule out with '-{name}' if it should not hold")
    if isinstance(default, tuple) != isinstance(value, tuple):
        raise ValueError(f"{name} takes {'a pair [lowest, highest]' if isinstance(default, tuple) else 'one number'}, such as {default}")
    if isinstance(value, tuple) and value[0] > value[1]:
        raise ValueError(f"{name}: the lowest of {value} is above the highest")
    return value
