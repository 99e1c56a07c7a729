"""Find stops in a question without a model (logic): token overlap, weighted by rarity, tolerant of typos.

Which stops a question names is always found here, so that no reader can bring in another. Which of the two
is the origin, `order_by_words` tells as baseline and as fallback when the model is down.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from functools import cached_property, lru_cache
from itertools import takewhile

from stack.apps.transit.feed import Stop

SAME_WORD = 0.8  # difflib ratio from which two words are one with a typo: one wrong letter in five
NAMED = 0.45  # score from which a stretch of text names a stop; "airport" alone reaches it, "road" or "bus" does not
MAX_WINDOW = 6
_WORD = re.compile(r"[^\W_]+")
_BRACKETS = re.compile(r"\s*\([^)]*\)\s*$")
_SYNONYMS = {"avenue": "ave", "av": "ave", "street": "st", "north": "n", "south": "s", "east": "e", "west": "w"}
_LONG_SYNONYMS = ("avenue", "street")  # long enough to be known through a typo
_FILLERS = frozenset({"and", "at", "corner", "near", "of", "the"})
_TO = frozenset({"to", "for", "reach", "into", "towards", "toward"})
_FROM = frozenset({"from", "leaving", "leave", "departing", "off"})


@dataclass(frozen=True)
class Mention:
    """A stretch of the question, in words from `start` until before `end`, that names a stop with some score in 0..1."""

    stop_id: str
    score: float
    start: int
    end: int

    def overlaps(self, other: "Mention") -> bool:
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True)
class StopNames:
    """The names of a feed's stops, prepared for matching."""

    stops: Mapping[str, Stop]

    @cached_property
    def labels(self) -> dict[str, str]:
        """Short names by stop id: without a closing remark in brackets, where that leaves them different."""
        short = {stop_id: _BRACKETS.sub("", stop.name) for stop_id, stop in self.stops.items()}
        names = list(short.values())
        return {stop_id: name if name and names.count(name) == 1 else self.stops[stop_id].name for stop_id, name in short.items()}

    @cached_property
    def _tokens(self) -> dict[str, list[str]]:
        return {stop_id: words(label) for stop_id, label in self.labels.items()}

    @cached_property
    def _weights(self) -> dict[str, float]:
        """Rare words say more: ln(1 + stops / stops that have the word)."""
        seen = [token for tokens in self._tokens.values() for token in set(tokens)]
        return {token: math.log(1 + len(self._tokens) / seen.count(token)) for token in seen}

    def mentions(self, text: str) -> list[Mention]:
        """Every stretch of the text that names a stop, best first."""
        tokens = words(text)
        # Small words hold a name together but neither begin nor end it.
        ends = [index for index, token in enumerate(tokens) if token not in _FILLERS]
        stretches = [(start, end + 1) for start in ends for end in ends if start <= end < start + MAX_WINDOW]
        found = [
            Mention(stop_id, self._score(tokens[start:end], label), start, end) for start, end in stretches for stop_id, label in self._tokens.items() if label
        ]
        return sorted((mention for mention in found if mention.score >= NAMED), key=lambda mention: -mention.score)

    def _score(self, window: Sequence[str], label: Sequence[str]) -> float:
        """Dice coefficient of the two word lists, by weight; a word of the window stands for one of the label."""
        unknown = math.log(1 + len(self._tokens))
        left = list(label)
        matched = 0.0
        for word in window:
            same = max(left, key=lambda other: _likeness(word, other), default="")
            if _likeness(word, same) >= SAME_WORD:
                left.remove(same)
                matched += self._weights[same]
        asked = sum(self._weights.get(word, unknown) for word in window if word not in _FILLERS)
        return 2 * matched / (max(asked, matched) + sum(self._weights[word] for word in label))


def words(text: str) -> list[str]:
    """Lower-case words, common parts of addresses in one spelling."""
    return [_usual(word.lower()) for word in _WORD.findall(text)]


@lru_cache(maxsize=4096)
def _usual(word: str) -> str:
    typo_of = get_close_matches(word, _LONG_SYNONYMS, n=1, cutoff=SAME_WORD)
    return _SYNONYMS.get(typo_of[0] if typo_of else word, word)


def named_stops(names: StopNames, text: str) -> list[Mention]:
    """The two mentions that score best together, in the order of the text; fewer when the text names fewer.

    Two that share a word are one name read twice, and two that a better mention joins are its halves.
    """
    found = names.mentions(text)
    best, best_score = found[:1], 0.0
    for index, one in enumerate(found):
        for other in found[index + 1 :]:
            if one.score + other.score <= best_score:
                break  # those that follow score no better
            if one.stop_id != other.stop_id and not one.overlaps(other) and not _halves(found, one, other):
                best, best_score = [one, other], one.score + other.score
    return sorted(best, key=lambda mention: mention.start)


def _halves(found: Sequence[Mention], one: Mention, other: Mention) -> bool:
    """Whether a mention with a higher score than both overlaps both; `found` is in the order of the score."""
    higher = takewhile(lambda mention: mention.score > max(one.score, other.score), found)
    return any(mention.overlaps(one) and mention.overlaps(other) for mention in higher)


def put_names(text: str, mentions: Sequence[Mention], stand_ins: Sequence[str]) -> str:
    """The text with each mention replaced by its stand-in; `mentions` are in the order of the text."""
    spans = [match.span() for match in _WORD.finditer(text)]
    for mention, stand_in in reversed(list(zip(mentions, stand_ins, strict=True))):
        text = text[: spans[mention.start][0]] + stand_in + text[spans[mention.end - 1][1] :]
    return text


def order_by_words(text: str, mentions: Sequence[Mention]) -> tuple[str | None, str | None]:
    """Origin and destination by the words before their names (from, to ...), else by their order; None for what is not named."""
    tokens = words(text)
    roles = [_role(tokens, mention) for mention in mentions]
    if len(mentions) < 2:
        only = mentions[0].stop_id if mentions else None
        return (None, only) if roles == ["to"] else (only, None)
    first, second = (mention.stop_id for mention in mentions)
    swapped = roles[0] == "to" or (roles[0] is None and roles[1] == "from")
    return (second, first) if swapped else (first, second)


def _role(tokens: Sequence[str], mention: Mention) -> str | None:
    """`from` or `to` by the nearest telling word among the three before the name."""
    for word in reversed(tokens[max(0, mention.start - 3) : mention.start]):
        if word in _TO:
            return "to"
        if word in _FROM:
            return "from"
    return None


@lru_cache(maxsize=4096)
def _likeness(word: str, other: str) -> float:
    if word == other:
        return 1.0
    # Short words differ by a letter and are still different words.
    return SequenceMatcher(None, word, other).ratio() if min(len(word), len(other)) >= 4 else 0.0
