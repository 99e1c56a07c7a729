"""What only a word before it gives away: names, dates of birth, passport numbers. Without a cue word they are not found."""

import re
from collections.abc import Collection, Iterator

from stack.privacy.spans import Span
from stack.privacy.words import BIRTH_CUES, NAME_CUES, NOT_PEOPLE, PARTICLES, PASSPORT_CUES, TITLES, VERBS

_HONORIFICS = frozenset((*TITLES, "h", "hj"))
"""Skipped between the cue and the name ("Mr Dr Smith", "my name is Mr Smith")."""
_INDIC = r"\u0900-\u0963\u0966-\u0dff"
"""Scripts of India with their vowel signs, without the danda that ends a sentence."""
_INSIDE = rf"[\u0300-\u036f{_INDIC}\u064b-\u065f'\u2019.\-](?=[^\W_])"
_NAMED = rf"([^\W\d_](?:[^\W\d_]|{_INSIDE}|[{_INDIC}])*)(\.(?=[ \t]+[^\W\d_]))?"
_WORD = re.compile(rf"[ \t]{{1,2}}{_NAMED}")
_GLUED = re.compile(rf"[ \t]{{0,2}}{_NAMED}")
"""After the dot or colon of a cue: "Mr.Smith", "name:Ann"."""
_WIDE = re.compile(
    r"[ :]?([\u4e00-\u9fff]{2,4}?(?=[\u3001\u3002,.;!? \n\x00]|$|\u7684)|[\u4e00-\u9fff]{2,3}|[\u30a0-\u30ff\u4e00-\u9fff]{2,8}"
    r"|[\uac00-\ud7a3]{2,4}(?=[\uc774\uc785\uc608,. ]))"
)
"""Two to four Chinese characters up to a stop or \u7684; katakana; Hangul up to the copula."""
_NAME_WORDS, _WORDS_MOST, _HONORIFICS_MOST = 4, 8, 3
"""Words with a capital in a name, words with its particles, honorifics before it."""
_INITIALS = {title[0].upper(): sorted((other[1:] for other in TITLES if other[0] == title[0]), key=len, reverse=True) for title in TITLES}
_RESTS = "|".join(f"(?<={initial})(?i:{'|'.join(rests)})" for initial, rests in _INITIALS.items())
_TITLE = re.compile(f"[{''.join(_INITIALS)}](?:{_RESTS})(?=[. :])")
"""The class of first letters stands outside so that the search skips to capital letters in C."""
_ABBREVIATIONS = frozenset(("st", "jr", "moh", "muh", "abd", "hj", "drs", "ir", "mt"))
"""Beside single letters, the words whose dot does not end the sentence."""
_WORD_BEFORE = re.compile(r"[^\W\d_]+(?=[ _-]?\Z)")
_MONTHS = r"[^\W\d_]{3,12}\.?"
_DATE = re.compile(
    r"[^\d\x00\n]{0,24}?(\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?|\d{1,2}[-/. ]\d{1,2}[-/. ]\d{4}|\d{1,2}/\d{1,2}/\d{2}"
    rf"|\d{{1,2}}(?:st|nd|rd|th|er|\.)?(?: de| of)? {_MONTHS},?(?: de)? \d{{4}})(?!\d)"
)
_MONTH_FIRST = re.compile(
    r"[^\d\x00\n]{0,24}?((?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4})(?!\d)", re.IGNORECASE
)
_PASSPORT = re.compile(r"(?:[^\d\x00\n.;]|(?<=[Nn][or])\.){0,30}?(?<![A-Za-z0-9])([A-Z]{0,3}[0-9]{5,9}[A-Z]?|[A-Z0-9]{2}[0-9]{7})(?![A-Za-z0-9-])")


def cued(text: str, kinds: Collection[str]) -> Iterator[Span]:
    """Spans after cue words, whatever the words' case."""
    lower = _lower(text)
    if "name" in kinds:
        yield from _names(text, lower)
    if "birth_date" in kinds:
        for _, end in _after(lower, BIRTH_CUES):
            if found := _DATE.match(text, end) or _MONTH_FIRST.match(text, end):
                yield Span(found.start(1), found.end(1), "birth_date", "", "cue", 0.85)
    if "passport" in kinds:
        for _, end in _after(lower, PASSPORT_CUES):
            if found := _PASSPORT.match(text, end):
                yield Span(found.start(1), found.end(1), "passport", "", "cue", 0.8)


def _names(text: str, lower: str) -> Iterator[Span]:
    for start, end in _after(lower, NAME_CUES):
        if not (lower.startswith("name", start) and _of_a_thing(lower, start)):
            yield from _name(text, start, end)
    for title in _TITLE.finditer(text):
        if not title.start() or not text[title.start() - 1].isalnum():
            yield from _name(text, title.start(), title.end())


def _after(lower: str, cues: Collection[str]) -> Iterator[tuple[int, int]]:
    """Where each cue stands as a word (in scripts without spaces: anywhere)."""
    for cue in cues:
        at = lower.find(cue)
        while at >= 0:
            end = at + len(cue)
            if at == 0 or cue[0] >= "\u0e00" or not lower[at - 1].isalnum():
                yield at, end
            at = lower.find(cue, end)


def _name(text: str, start: int, end: int) -> Iterator[Span]:
    """Up to four words in capitals after the cue, particles between them allowed; of scripts without case two words."""
    if "\u2e80" <= text[start] <= "\ud7a3":
        if wide := _WIDE.match(text, end):
            yield Span(wide.start(1), wide.end(1), "name", "", "cue", 0.6)
        return
    if text[end : end + 1].isalnum():
        return
    at = end + (text[end : end + 1] in (".", ":"))
    words: list[tuple[int, int]] = []
    last_named = named_words = honorifics = 0
    while named_words < _NAME_WORDS and len(words) < _WORDS_MOST and (match := (_WORD if words or at == end else _GLUED).match(text, at)):
        word = match[1]
        caseless = word.lower() == word.upper()
        if word.lower() in _HONORIFICS and not words and honorifics < _HONORIFICS_MOST:
            honorifics += 1
            at = match.end()
            continue
        named = word[0].isupper() or (caseless and len(words) < 2 and word not in VERBS)
        if not named and not (words and word in PARTICLES):
            break
        words.append(match.span(1))
        named_words += named
        last_named = len(words) if named else last_named
        if match[2] and len(word) > 1 and word.lower() not in _ABBREVIATIONS:
            break
        at = match.end()
    if last_named:
        yield Span(words[0][0], words[last_named - 1][1], "name", "", "cue", 0.6)


def _of_a_thing(lower: str, start: int) -> bool:
    """Whether the word before the cue says that a thing is named."""
    before = _WORD_BEFORE.search(lower, max(0, start - 16), start)
    return bool(before and before[0] in NOT_PEOPLE)


def _lower(text: str) -> str:
    """In small letters with every character in its place (İ alone would become two)."""
    return text.replace("İ", "i").lower()
