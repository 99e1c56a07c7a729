"""Right or wrong (pure functions)."""

import re
import unicodedata
from collections.abc import Sequence

from bench.quality.models import Expected, Score


def is_right(score: Score, expected: Expected, answer: str | None) -> bool:
    """Whether `answer` is what was expected; for choice_logprob it is the chosen continuation. None, a request that failed, never is."""
    if answer is None:
        return False
    if score == "exact_match":
        return matches_exactly(answer, expected.answers)
    if score == "regex":
        return matches_pattern(answer, expected)
    return answer in expected.answers


def matches_exactly(answer: str, accepted: Sequence[str]) -> bool:
    """Equal to one of `accepted` as `plain` makes them."""
    return plain(answer) in map(plain, accepted)


def matches_pattern(answer: str, expected: Expected) -> bool:
    """The pattern is found somewhere; where answers are given too, its first group (or the whole match) at the last place is one of them."""
    found = list(re.finditer(expected.pattern or "", answer))
    if not found or not expected.answers:
        return bool(found)
    last = found[-1]
    return matches_exactly((last.group(1) if last.re.groups else last.group()) or "", expected.answers)


def plain(text: str) -> str:
    """Unicode's compatible form, one case, single spaces, no full stop at the end: what does not make an answer another one."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).removesuffix(".").rstrip()


def continuation_logprob(tokens: Sequence[str], logprobs: Sequence[float | None], continuation: str) -> float:
    """Sum over the tokens that hold the last `len(continuation)` characters of a prompt, a token that begins before them included.

    log P(continuation | what stands before) where a token begins with it, as it does for a continuation that opens with a space.
    ValueError when the tokens do not end in it: a server that splits characters, or appends tokens of its own.
    """
    left, total, ending = len(continuation), 0.0, ""
    for token, value in zip(reversed(tokens), reversed(logprobs), strict=True):
        if left <= 0:
            break
        if value is None:
            raise ValueError("the prompt must have words before the choice")
        left, total, ending = left - len(token), total + value, token + ending
    if left > 0 or not ending.endswith(continuation):
        raise ValueError(f"the prompt's tokens end in {ending!r}, not in {continuation!r}")
    return total


def likeliest(logprobs: Sequence[float]) -> int:
    """Place of the greatest, the first of equals."""
    return max(range(len(logprobs)), key=lambda place: logprobs[place])
