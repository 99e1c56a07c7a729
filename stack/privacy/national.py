"""National identity, social-security and personal tax numbers that begin with a digit: their shapes and check digits.

A number is taken by its `shape` alone where the shape with its check is rare by chance (below about 1 in 200; more often for `shaped` below 0.9); a `bare` form
needs one of the rule's cue words shortly before it. Check digits are python-stdnum's except where it has none.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache

from stdnum.ar import cuit
from stdnum.au import tfn
from stdnum.be import nn
from stdnum.bg import egn
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.ch import ssn as ahv
from stdnum.cl import rut
from stdnum.cn import ric
from stdnum.de import idnr as steuer_id
from stdnum.dk import cpr
from stdnum.es import dni
from stdnum.exceptions import ValidationError
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.hr import oib
from stdnum.id import nik
from stdnum.in_ import aadhaar
from stdnum.kr import rrn
from stdnum.my import nric
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pk import cnic
from stdnum.pl import pesel
from stdnum.ro import cnp
from stdnum.se import personnummer
from stdnum.th import pin as thai_pin
from stdnum.tr import tckimlik
from stdnum.ua import rntrc
from stdnum.us import ssn
from stdnum.za import idnr as za_id

CUED = 0.96
"""Confidence in a number after a word that names it."""


@dataclass(frozen=True)
class NationalId:
    """`lengths`: letters and digits in it. `shape` and `bare` are patterns of the whole number as written; `cues` a pattern of words
    that must precede a bare one.

    `shaped` is the confidence in a number of that shape without a cue word: lower where chance passes the check more often.
    """

    country: str
    rule: str
    lengths: tuple[int, ...]
    check: Callable[[str], bool]
    shape: str = ""
    bare: str = ""
    cues: str = ""
    shaped: float = 0.92

    def matches(self, raw: str, before: str) -> float:
        """Confidence in `raw`, 0 when it is none; `before` is the text shortly before it."""
        shaped = bool(self.shape and _compiled(self.shape).fullmatch(raw))
        if not (shaped or (self.bare and _compiled(self.bare).fullmatch(raw))) or not self.check(raw):
            return 0.0
        if self.cues and self.cued(before):
            return CUED
        return self.shaped if shaped else 0.0

    def cued(self, before: str) -> bool:
        """Whether one of the cue words stands in `before`."""
        return bool(_compiled(rf"(?<![^\W_])(?:{self.cues})(?![^\W_])").search(before))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _any(_: str) -> bool:
    return True


def _egyptian(raw: str) -> bool:
    """Century (2 or 3), date of birth, governorate of the list; the last digit's rule is not published and not checked."""
    governorates = {*range(1, 5), *range(11, 20), *range(21, 30), *range(31, 36), 88}
    try:
        date(1700 + 100 * int(raw[0]) + int(raw[1:3]), int(raw[3:5]), int(raw[5:7]))
    except ValueError:
        return False
    return int(raw[7:9]) in governorates


def _chinese(raw: str) -> bool:
    """Province, date and ISO 7064 mod 11-2. Not python-stdnum's rule that the county existed in the year of birth: numbers are given out later."""
    try:
        return raw[:2] in _PROVINCES and ric.calc_check_digit(raw) == raw[-1].upper() and bool(ric.get_birth_date(raw))
    except ValidationError:
        return False


_PROVINCES = frozenset(map(str, (*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82)))
RULES = (
    NationalId("US", "ssn", (9,), ssn.is_valid, shape=r"\d{3}-\d{2}-\d{4}", bare=r"\d{9}|\d{3} \d{2} \d{4}", cues=r"ssn|social security(?: number| no)?"),
    NationalId("GB", "nhs", (10,), nhs.is_valid, bare=r"\d{10}|\d{3}([ -])\d{3}\1\d{4}", cues="nhs"),
    NationalId("FR", "nir", (15,), nir.is_valid, shape=r"[12] ?\d{2} ?\d{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}"),
    NationalId("ES", "dni", (9,), dni.is_valid, shape=r"\d{8}-?[A-Z]", shaped=0.88),
    NationalId(
        "DE",
        "steuer_id",
        (11,),
        steuer_id.is_valid,
        shape=r"\d{2} \d{3} \d{3} \d{3}",
        bare=r"\d{11}",
        cues=r"steuer-?id|(?:steuer)?identifikationsnummer|idnr|steuernummer",
    ),
    NationalId("NL", "bsn", (9,), bsn.is_valid, bare=r"\d{9}|\d{3}\.\d{3}\.\d{3}|\d{4}\.\d{2}\.\d{3}", cues=r"bsn|burgerservicenummer|sofinummer"),
    NationalId("BE", "nn", (11,), nn.is_valid, shape=r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}|\d{11}", cues=r"rijksregister(?:nummer|nr)?|num.ro national|insz|niss"),
    NationalId("PL", "pesel", (11,), pesel.is_valid, bare=r"\d{11}", cues="pesel"),
    NationalId("BR", "cpf", (11,), cpf.is_valid, shape=r"\d{3}\.\d{3}\.\d{3}-\d{2}", bare=r"\d{11}|\d{9}-\d{2}", cues="cpf"),
    NationalId("IN", "aadhaar", (12,), aadhaar.is_valid, shape=r"\d{4}([ -])\d{4}\1\d{4}", bare=r"\d{12}", cues=r"aadhaar|aadhar|uidai|आधार", shaped=0.85),
    NationalId("ID", "nik", (16,), nik.is_valid, shape=r"\d{16}|\d{2}\.\d{4}\.\d{6}\.\d{4}", cues="nik|ktp", shaped=0.8),
    NationalId("NG", "nin", (11,), _any, bare=r"\d{11}", cues=r"nin|bvn|national identification number|bank verification number"),
    NationalId("KE", "national_id", (7, 8), _any, bare=r"\d{7,8}", cues=r"kitambulisho(?: cha taifa)?|national id|huduma"),
    NationalId("ZA", "id_number", (13,), za_id.is_valid, shape=r"\d{13}|\d{6} \d{4} \d{3}|\d{6} \d{4} \d{2} \d"),
    NationalId("TR", "tckn", (11,), tckimlik.is_valid, bare=r"\d{11}", cues=r"t\.?c\.? ?(?:kimlik|no)|tckn|kimlik(?: no| numaras\u0131| numaram)?"),
    NationalId("CN", "ric", (18,), _chinese, shape=r"\d{17}[\dX]"),
    NationalId("KR", "rrn", (13,), rrn.is_valid, shape=r"\d{6}-\d{7}"),
    NationalId("SE", "personnummer", (10, 12), personnummer.is_valid, shape=r"(?:\d{2})?\d{6}[-+]\d{4}", bare=r"\d{12}|\d{10}", cues=r"personnummer|pnr"),
    NationalId("FI", "hetu", (10,), hetu.is_valid, shape=r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]"),
    NationalId("NO", "fodselsnummer", (11,), fodselsnummer.is_valid, shape=r"\d{6} ?\d{5}", cues=r"f.dselsnummer|personnummer|fnr"),
    NationalId("DK", "cpr", (10,), cpr.is_valid, bare=r"\d{6}-?\d{4}", cues=r"cpr(?:-?nummer|-nr)?|personnummer"),
    NationalId("RO", "cnp", (13,), cnp.is_valid, shape=r"\d{13}"),
    NationalId("BG", "egn", (10,), egn.is_valid, bare=r"\d{10}", cues=r"egn|егн"),
    NationalId("HR", "oib", (11,), oib.is_valid, bare=r"\d{11}", cues="oib"),
    NationalId("UA", "rntrc", (10,), rntrc.is_valid, bare=r"\d{10}", cues=r"рнокпп|іпн|ипн|rnokpp"),
    NationalId("CH", "ahv", (13,), ahv.is_valid, shape=r"756\.?\d{4}\.?\d{4}\.?\d{2}"),
    NationalId("CL", "rut", (8, 9), rut.is_valid, shape=r"\d{1,2}\.\d{3}\.\d{3}-[\dK]", bare=r"\d{7,8}-?[\dK]", cues="rut|run"),
    NationalId("AR", "cuit", (11,), cuit.is_valid, shape=r"\d{2}-\d{8}-\d", bare=r"\d{11}", cues="cuil|cuit"),
    NationalId("AR", "dni", (7, 8), _any, bare=r"\d{7,8}|\d{1,2}\.\d{3}\.\d{3}", cues="dni"),
    NationalId("TH", "pin", (13,), thai_pin.is_valid, shape=r"\d-\d{4}-\d{5}-\d{2}-\d", bare=r"\d{13}|\d \d{4} \d{5} \d{2} \d", cues=r".*บัตรประชาชน.*|thai id"),
    NationalId("PK", "cnic", (13,), cnic.is_valid, shape=r"\d{5}-\d{7}-\d", bare=r"\d{13}", cues="cnic"),
    NationalId("MY", "nric", (12,), nric.is_valid, shape=r"\d{6}-\d{2}-\d{4}", bare=r"\d{12}", cues=r"mykad|nric|no\.? ?k\.?p|kad pengenalan"),
    NationalId("EG", "national_id", (14,), _egyptian, shape=r"[23]\d{13}"),
    NationalId("CA", "sin", (9,), sin.is_valid, bare=r"\d{3}([ -])\d{3}\1\d{3}|\d{9}", cues=r"sin|nas|social insurance(?: number)?"),
    NationalId("AU", "tfn", (9,), tfn.is_valid, bare=r"\d{3} \d{3} \d{3}|\d{9}", cues=r"tfn|tax file number"),
)
