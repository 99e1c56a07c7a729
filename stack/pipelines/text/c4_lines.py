"""Which lines of a text C4 keeps (Raffel et al. 2020, section 2.2; pure)."""

from collections.abc import Callable, Mapping

from stack.pipelines.text.measures import ELLIPSES, END_MARKS, Measures, sentences

POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")

# By rule, whether a line fails: (line, threshold, whether words are separated, whether sentences end in marks).
_FAILS: dict[str, Callable[[str, float, bool, bool], bool]] = {
    "c4_long_word": lambda line, limit, spaced, _: spaced and len(line) > limit and max(map(len, line.split())) > limit,
    "c4_line_punctuation": lambda line, _, __, marks: marks and (not line.endswith(END_MARKS) or line.endswith(ELLIPSES)),
    "c4_line_words": lambda line, limit, spaced, _: spaced and len(line.split()) < limit,
    "c4_javascript": lambda line, _, __, ___: "javascript" in line.lower(),
    "c4_policy": lambda line, _, __, ___: any(policy in line.lower() for policy in POLICIES),
}


def kept_lines(text: Measures, limits: Mapping[str, float]) -> list[str]:
    """The lines that pass all of `limits`: rule to threshold."""
    spaced, marks = text.words is not None, text.punctuated
    return [line for line in text.lines if not any(_FAILS[rule](line, limit, spaced, marks) for rule, limit in limits.items())]


def count_sentences(text: Measures, limits: Mapping[str, float]) -> int | None:
    return sum(map(sentences, kept_lines(text, limits))) if text.punctuated else None
