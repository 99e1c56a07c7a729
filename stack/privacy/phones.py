"""Telephone numbers: what is written like one and is valid by Google's numbering plans (phonenumbers)."""

import re
from collections.abc import Sequence

import phonenumbers
from stdnum import isbn

from stack.privacy.words import PHONE_CUES, PHONE_FILLERS

REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "BR", "MX", "IN", "ID", "KE", "NG", "ZA", "EG", "TR", "VN", "PH", "PK", "BD", "AU", "TH", "MY", "JP", "PL")
"""Whose national forms are tried when no countries are given; numbers with + and the country code need none."""

_CUE = re.compile(rf"(?<![^\W_])(?:{'|'.join(PHONE_CUES)})(?:\W|_|{'|'.join(PHONE_FILLERS)})*\Z", re.IGNORECASE)
_NANP = re.compile(r"(?:1[-. ])?\(?[2-9]\d\d(?:\) ?|[-. ])[2-9]\d\d[-.]\d{4}")
_NATIONAL = re.compile(r"(?!\d{5}-\d{4}\Z)(?:\(0\d{1,4}\)[ -]?|0\d{1,4}[ ./-])\d{2,}(?:[ .-]\d{2,}){0,5}")
"""Written with its trunk 0 and separators; five and four digits are an American post code."""
_DATE = re.compile(r"(?:\d{1,2}([./ -])\d{1,2}\1\d{4}|\d{4}([./ -])\d{1,2}\2\d{1,2}|\d{1,2}([./-])\d{1,2}\3\d{2})(?: \d{1,4})?|\d{1,3}(?:\.\d{1,3}){3}")
_IN_A_ROW = re.compile(r"[0-9] ?\Z")
"""Figures before a number: a row of a table."""
DIGITS = range(7, 16)


def phone_confidence(raw: str, before: str, regions: Sequence[str]) -> tuple[float, str]:
    """Confidence and country of a number as written (with its + when it has one); confidence 0 when it is none.

    A number without its country code fits several countries' plans, so its country is told only where one alone is tried.
    """
    if raw.startswith("+"):
        return _international(raw)
    cued = bool(_CUE.search(before))
    if _DATE.fullmatch(raw) or (not cued and (isbn.is_valid(raw) or _IN_A_ROW.search(before))):
        return 0.0, ""
    if raw.startswith("00"):
        confidence, country = _international("+" + raw[2:])
        return (confidence if cued or " " in raw else 0.0), country
    written_so = cued or _NANP.fullmatch(raw) or _NATIONAL.fullmatch(raw)
    if not written_so or not any(_valid(raw, region) for region in regions):
        return 0.0, ""
    return (0.93 if cued else 0.7), regions[0] if len(regions) == 1 else ""


def e164(raw: str, country: str) -> str:
    """A number as +country code and digits; empty when it cannot be read, as without both + and `country`."""
    try:
        return phonenumbers.format_number(phonenumbers.parse(raw, country or None), phonenumbers.PhoneNumberFormat.E164)
    except phonenumbers.NumberParseException:
        return ""


def _international(raw: str) -> tuple[float, str]:
    try:
        number = phonenumbers.parse(raw, None)
    except phonenumbers.NumberParseException:
        return 0.0, ""
    return (0.96, phonenumbers.region_code_for_number(number) or "") if phonenumbers.is_valid_number(number) else (0.0, "")


def _valid(raw: str, region: str) -> bool:
    try:
        return phonenumbers.is_valid_number_for_region(phonenumbers.parse(raw, region), region)
    except phonenumbers.NumberParseException:
        return False
