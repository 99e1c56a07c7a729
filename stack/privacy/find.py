"""All kinds over many texts: each pattern runs once over a few hundred texts joined, validators only on what it finds."""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence

import phonenumbers

from stack.privacy.codes import codes
from stack.privacy.cued import cued
from stack.privacy.fold import join
from stack.privacy.network import emails, ip_addresses, mac_addresses, url_users
from stack.privacy.numbers import Wanted, numbers, wanted
from stack.privacy.phones import REGIONS
from stack.privacy.spans import Span, resolve

KINDS = ("email", "phone", "card", "iban", "ip", "mac", "url_user", "national_id", "passport", "birth_date", "name")
CHUNK_CHARACTERS = 1 << 17
"""Joined at a time: the working copies stay in the processor's cache."""


def find(text: str, kinds: Collection[str] | None = None, countries: Collection[str] | None = None) -> list[Span]:
    """The spans of one text, in order, without overlap; `find_all` is several times as fast over many."""
    return find_all([text], kinds, countries)[0]


def find_all(texts: Sequence[str], kinds: Collection[str] | None = None, countries: Collection[str] | None = None) -> list[list[Span]]:
    """The spans of each text, in order, without overlap.

    `kinds` of KINDS (all by default). `countries` (ISO 3166 alpha-2) limits national numbers to theirs and phones without a country
    code to their plans; without it all rules, and the plans of `phones.REGIONS`, are tried. ValueError names one that is not known.
    """
    chosen = check_kinds(KINDS if kinds is None else kinds)
    limited = None if countries is None else check_countries(countries)
    rules = wanted(chosen, limited, REGIONS if limited is None else sorted(limited))
    found: list[list[Span]] = [[] for _ in texts]
    ascii_first = sorted(range(len(texts)), key=lambda number: not texts[number].isascii())  # one wide letter widens all it is joined with
    for chunk in _chunks(texts, ascii_first):
        joined = join([texts[number] for number in chunk])
        for span in _search(joined.text, chosen, limited, rules):
            number = bisect_right(joined.starts, span.start) - 1
            start, end = joined.original(number, span.start, span.end)
            found[chunk[number]].append(Span(start, end, span.kind, span.country, span.rule, span.confidence))
    return [resolve(spans) if len(spans) > 1 else spans for spans in found]


def check_kinds(kinds: Collection[str]) -> frozenset[str]:
    """The kinds; ValueError names the first that is none."""
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise ValueError(f"unknown kind {unknown[0]!r}: one of {', '.join(KINDS)}")
    return frozenset(kinds)


def check_countries(countries: Collection[str]) -> frozenset[str]:
    """The countries; ValueError names the first that no numbering plan is known of."""
    if unknown := sorted(set(countries) - set(phonenumbers.SUPPORTED_REGIONS)):
        raise ValueError(f"unknown country {unknown[0]!r}: two capital letters of ISO 3166 are expected, such as ID")
    return frozenset(countries)


def _search(text: str, kinds: frozenset[str], countries: frozenset[str] | None, rules: Wanted) -> Iterator[Span]:
    if "email" in kinds:
        yield from emails(text)
    if "ip" in kinds:
        yield from ip_addresses(text)
    if "mac" in kinds:
        yield from mac_addresses(text)
    if "url_user" in kinds:
        yield from url_users(text)
    if rules.phone or rules.card or rules.ids:
        yield from numbers(text, rules)
    if kinds & {"iban", "national_id"}:
        yield from codes(text, kinds, countries)
    if kinds & {"name", "birth_date", "passport"}:
        yield from cued(text, kinds)


def _chunks(texts: Sequence[str], order: Sequence[int]) -> Iterator[Sequence[int]]:
    first = size = 0
    for place, number in enumerate(order, 1):
        size += len(texts[number]) + 1
        if size >= CHUNK_CHARACTERS or place == len(order):
            yield order[first:place]
            first, size = place, 0
