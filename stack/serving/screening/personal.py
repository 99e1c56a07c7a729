"""Personal data by its form: e-mail addresses, telephone numbers, payment cards, IBANs (pure).

Every search takes time linear in the text, whatever the text: repetitions are bounded, and where a pattern could begin
anywhere it is tried at a rare character only.
"""

import re

DOMAIN = re.compile(r"@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-]|:\S)")
"""From the @ on. `git@host:path` is a place, not a person."""
LOCAL_PART = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_%+-")
RESERVED = re.compile(r"@(?:[A-Za-z0-9-]+\.)*(?:example\.(?:com|net|org)|example|invalid|test|localhost)$", re.IGNORECASE)
"""Domains of RFC 2606: nobody's."""

INTERNATIONAL = re.compile(r"(?<![\w+./=-])\+(?:1(?:[ .()-]{0,2}\d){10}|[2-9](?:[ .()-]{0,2}\d){7,13})(?![\w%]|[.,]\d)")
"""E.164: a plus, then 8 to 15 digits, 11 after +1."""
NORTH_AMERICAN = re.compile(r"(?<![\w+./=-])(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[.-])[2-9]\d{2}[.-]\d{4}(?![\w-]|\.\d)")
"""Area code and exchange with their separators; ten bare digits are left alone."""

CARD = re.compile(r"(?<![\w.+-])(?=(\d{13,19}|\d{4}([ -])(?:\d{4}\2\d{4}\2\d{4}|\d{6}\2\d{4,5}))(?![\w-]|\.\d))")
"""In one piece or in the groups that cards show. A lookahead, because the number before may be read as a first group."""
ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}"
    r"|(?:6011\d\d|65\d{4}|64[4-9]\d{3}|35(?:2[89]|[3-8]\d)\d\d)\d{10}"
)
"""First digits and lengths of the large issuers: of any numbers, one of ten has a good check digit."""

IBAN = re.compile(r"(?<![A-Za-z0-9])(?=([A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,28}))")
IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL", 19: "MK SI", 20: "AT BA EE KZ LT LU XK", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "PT",
        26: "IS TR", 27: "FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB PL", 29: "BR EG PS QA UA", 30: "JO KW", 31: "MT SC", 32: "LC",
    }.items()
    for country in countries.split()
}  # fmt: skip
"""ISO 13616, of the countries known here."""


def find_personal(text: str) -> str | None:
    """The first kind that is found, in words; None when there is none."""
    if "@" in text and _has_address(text):
        return "an e-mail address"
    if any(_is_card(match[1].replace(" ", "").replace("-", "")) for match in CARD.finditer(text)):
        return "a payment card number"
    if any(_is_iban(match[1].replace(" ", "")) for match in IBAN.finditer(text)):
        return "an IBAN"
    if INTERNATIONAL.search(text) or NORTH_AMERICAN.search(text):
        return "a telephone number"
    return None


def _has_address(text: str) -> bool:
    found = (match for match in DOMAIN.finditer(text) if text[match.start() - 1 : match.start()] in LOCAL_PART)
    return any(not RESERVED.match(match[0]) for match in found)


def _is_card(digits: str) -> bool:
    """Issuer, length, and the check digit of ISO/IEC 7812-1 (Luhn)."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return ISSUERS.fullmatch(digits) is not None and (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _is_iban(found: str) -> bool:
    """Country, length, and the remainder of ISO 7064 (97, 1). What follows may be the next word in capitals."""
    length = IBAN_LENGTHS.get(found[:2], len(found) + 1)
    code = found[:length]
    return len(code) == length and int("".join(str(int(character, 36)) for character in code[4:] + code[:4])) % 97 == 1
