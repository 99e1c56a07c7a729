"""Identifiers that begin with a capital letter: IBAN, and the national ones of eight countries."""

import re
from collections.abc import Collection, Iterator

from stdnum import iban
from stdnum.es import nie
from stdnum.in_ import pan
from stdnum.it import codicefiscale
from stdnum.mx import curp

from stack.privacy.spans import Span

_CODE = re.compile(
    r"[A-Z](?:"
    r"(?P<IBAN>[A-Z][0-9]{2}(?: ?[0-9A-Z]){11,32})"
    r"|(?P<MX>[A-Z]{3}[0-9]{6}[HMX][A-Z]{5}[0-9A-Z][0-9])"
    r"|(?P<IT>[A-Z]{5}[0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z])"
    r"|(?P<IN>[A-Z]{4}[0-9]{4}[A-Z])"
    r"|(?P<GB>[A-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D])"
    r"|(?P<ES>-?[0-9]{7}-?[A-Z])"
    r"|(?P<KE>[0-9]{9}[A-Z])"
    r")"
)
"""The first class stands outside so that the search skips to capital letters in C."""

_NINO = re.compile(r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][0-9]{6}[A-D]")
"""National Insurance numbers: the prefixes HMRC gives out (NIM39110). No check digit."""
_IBAN_SHORTEST = 15


def codes(text: str, kinds: Collection[str], countries: Collection[str] | None) -> Iterator[Span]:
    """Codes in capitals; the same in small letters are not looked for."""
    at = 0
    while match := _CODE.search(text, at):
        at = match.start() + 1
        if match.start() and (text[match.start() - 1].isalnum() or text[match.start() - 1] == "_"):
            continue
        span = _iban(match) if match.lastgroup == "IBAN" else _national(match)
        if span is None and match.lastgroup == "IBAN":
            span = _nino(text, match.start())
        if span and span.kind in kinds and (span.kind == "iban" or countries is None or span.country in countries):
            yield span
            at = span.end


def _iban(match: re.Match[str]) -> Span | None:
    """The longest beginning that is an IBAN: what follows it may be words in capitals."""
    raw = match[0]
    for end in range(len(raw), _IBAN_SHORTEST - 1, -1):
        value = raw[:end]
        whole = not match.string[match.start() + end : match.start() + end + 1].isalnum()
        if whole and value[-1] != " " and _mod97(value) and iban.is_valid(value):
            return Span(match.start(), match.start() + end, "iban", value[:2], "mod97", 0.98)
    return None


def _mod97(value: str) -> bool:
    """ISO 7064 mod 97-10 with the first four characters moved to the end: cheap, so that the full check runs on few."""
    plain = value.replace(" ", "")
    return int("".join(str(int(letter, 36)) for letter in plain[4:] + plain[:4])) % 97 == 1


def _national(match: re.Match[str]) -> Span | None:
    country, raw = match.lastgroup or "", match[0]
    if match.string[match.end() : match.end() + 1].isalnum():
        return None
    checks = {"MX": ("curp", curp.is_valid), "IT": ("codice_fiscale", codicefiscale.is_valid), "IN": ("pan", pan.is_valid), "ES": ("nie", nie.is_valid)}
    if country == "GB":
        return _nino(match.string, match.start())
    if country == "KE":
        return Span(match.start(), match.end(), "national_id", "KE", "kra_pin", 0.9) if raw[0] in "AP" else None
    if country == "ES" and _singapore(raw):
        return Span(match.start(), match.end(), "national_id", "SG", "nric", 0.93)
    rule, check = checks[country]
    return Span(match.start(), match.end(), "national_id", country, rule, 0.93) if check(raw) else None


_NINO_WRITTEN = re.compile(r"[A-Z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D](?![0-9A-Za-z])")


def _nino(text: str, start: int) -> Span | None:
    match = _NINO_WRITTEN.match(text, start)
    return Span(start, match.end(), "national_id", "GB", "nino", 0.9) if match and _NINO.fullmatch(match[0].replace(" ", "")) else None


def _singapore(raw: str) -> bool:
    """NRIC and FIN: weights 2 7 6 5 4 3 2 modulo 11; T and G add 4, M adds 3 and reads its letters from the other end."""
    if not re.fullmatch(r"[STFGM][0-9]{7}[A-Z]", raw):
        return False
    total = sum(int(digit) * weight for digit, weight in zip(raw[1:8], (2, 7, 6, 5, 4, 3, 2), strict=True)) + {"T": 4, "G": 4, "M": 3}.get(raw[0], 0)
    letters = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "F": "XWUTRQPNMLK", "G": "XWUTRQPNMLK", "M": "XWUTRQPNJLK"}[raw[0]]
    place = total % 11 if raw[0] != "M" else 10 - total % 11
    return letters[place] == raw[8]
