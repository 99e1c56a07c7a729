"""Votes, and the labelers that ask no chat model: words, patterns, a function, neighbours."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stack.pipelines.errors import PipelineError
from stack.pipelines.labeling.neighbours import nearest_votes
from stack.pipelines.labeling.patterns import compiled
from stack.pipelines.labeling.python_module import Labels, load
from stack.pipelines.labeling.spec import Keywords, Neighbours, Python, Regex

MAX_VALUE = 500
"""Characters of a wrong answer that are kept."""


@dataclass(frozen=True, slots=True)
class Vote:
    """What one labeler said of one record: a label, or None with the class of the failure in `error`, or None alone (abstained).

    `value` is the answer of a json or spans labeler as canonical JSON; beside an error it is the raw answer, cut to 500 characters.
    """

    label: str | None
    error: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    value: str | None = None


def vote(labeler: Keywords | Regex | Python | Neighbours, texts: Sequence[str], labels: tuple[str, ...], folder: Path) -> list[Vote]:
    """One vote per text, in order; each depends on its own text only. `folder` is the pipeline file's."""
    match labeler:
        case Keywords():
            return count_keywords(labeler, texts)
        case Regex():
            return count_matches(labeler, texts)
        case Python():
            return call(load(labeler.entry, folder), texts, labels, name=labeler.name)
        case Neighbours():
            return [Vote(label) for label in nearest_votes(labeler, texts, folder)]


def count_keywords(labeler: Keywords, texts: Sequence[str]) -> list[Vote]:
    """Whole words, case folded; of overlapping phrases the longest counts, so "not good" is not also a "good"."""
    assert isinstance(labeler.lexicon, dict)
    by_phrase = {" ".join(phrase.casefold().split()): label for label, phrases in labeler.lexicon.items() for phrase in phrases}
    longest_first = sorted(by_phrase, key=lambda phrase: (-len(phrase), phrase))
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
    return [Vote(_most(Counter(by_phrase[hit] for hit in pattern.findall(" ".join(text.casefold().split()))), labeler.otherwise)) for text in texts]


def count_matches(labeler: Regex, texts: Sequence[str]) -> list[Vote]:
    """How often a label's patterns match, empty matches left out; the text is taken as it is."""
    patterns = [(label, compiled(pattern, ignore_case=labeler.ignore_case)) for label, group in labeler.patterns.items() for pattern in group]
    votes = []
    for text in texts:
        hits: Counter[str] = Counter()
        for label, pattern in patterns:
            if count := sum(match.end() > match.start() for match in pattern.finditer(text)):
                hits[label] += count
        votes.append(Vote(_most(hits, labeler.otherwise)))
    return votes


def call(function: Callable[[list[str]], Labels], texts: Sequence[str], labels: tuple[str, ...], *, name: str) -> list[Vote]:
    """The function's labels. If it raises it gets the texts one by one, so that only those it cannot take fail.

    PipelineError when it fails for each of several texts, or does not return a label or None per text.
    """
    try:
        found = _called(function, texts, name)
    except PipelineError:
        raise
    except Exception:  # whatever a user's function raises is the record's error
        votes = [_alone(function, text, labels, name) for text in texts]
        if len(votes) > 1 and all(each.error == "function_failed" for each in votes):
            raise PipelineError(f"labeler {name}: its function fails for every text: {votes[0].value}") from None
        return votes
    return [_known(label, labels) for label in found]


def _called(function: Callable[[list[str]], Labels], texts: Sequence[str], name: str) -> Labels:
    found = function(list(texts))
    if not isinstance(found, (list, tuple)) or len(found) != len(texts):
        length = f" of {len(found)}" if isinstance(found, (list, tuple)) else ""
        raise PipelineError(f"labeler {name}: its function must return a list of {len(texts)} labels, one per text; got {type(found).__name__}{length}")
    return found


def _alone(function: Callable[[list[str]], Labels], text: str, labels: tuple[str, ...], name: str) -> Vote:
    try:
        return _known(_called(function, [text], name)[0], labels)
    except PipelineError:
        raise
    except Exception as fault:
        return Vote(None, "function_failed", value=f"{type(fault).__name__}: {fault}"[:MAX_VALUE])


def _known(label: object, labels: tuple[str, ...]) -> Vote:
    if label is None or (isinstance(label, str) and label in labels):
        return Vote(label)
    return Vote(None, "not_a_label", value=str(label)[:MAX_VALUE])


def _most(hits: Counter[str], otherwise: str | None) -> str | None:
    """The label with the most hits, if one has more than any other."""
    ranked = hits.most_common(2)
    clear = ranked and (len(ranked) == 1 or ranked[0][1] > ranked[1][1])
    return ranked[0][0] if clear else otherwise
