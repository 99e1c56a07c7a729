"""Personal data found: recall and precision by kind on generated sentences of over 20 languages, beside hard negatives; time per record.

    .venv/bin/python benchmarks/pii.py [--records 12000] [--seed 1] [--texts FOLDER]

Values are drawn here by their published rules, not by the libraries that check them: 39 national numbers with their check digits,
mobile prefixes of 24 countries, issuer ranges and Luhn of cards, mod 97 of IBANs. Half of the sentences hold one value, a third of them
beside a clause that holds none; the others only look as if they did: order numbers, dates, prices, coordinates, versions, ISBN, EAN,
clock times in ms, digests, scores, tables. A value counts as found when a span of its kind (and of its country, for national numbers)
covers exactly its characters; every other span is a false one. Sentences and cue words have one author, so the figures say that rules
and contexts work together, not how people write. Names stand after a cue word; "name, no cue" shows that without one none is found.
"""
# ruff: noqa: RUF001 -- letters of many scripts are meant here

import argparse
import csv
import platform
import random
import string
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.statistics.proportion import wilson_interval
from stack.privacy import KINDS, find_all

Draw = random.Random
Weights = Sequence[int]
BARE_NAME = "name, no cue"
DIGITS36 = string.digits + string.ascii_uppercase


@dataclass(frozen=True)
class Case:
    """A sentence, and the one value in it (kind "" when there is none)."""

    text: str
    kind: str = ""
    country: str = ""
    start: int = 0
    end: int = 0


@dataclass(frozen=True)
class Share:
    successes: int
    total: int

    @property
    def value(self) -> float | None:
        return self.successes / self.total if self.total else None

    def __str__(self) -> str:
        interval = wilson_interval(self.successes, self.total) if self.total else None
        return "-".rjust(24) if interval is None else f"{self.value:7.4f} [{interval[0]:.4f}, {interval[1]:.4f}]"


@dataclass(frozen=True)
class Score:
    recall: Share
    precision: Share


# --- check digits -------------------------------------------------------------------------------------------------------------------


def digits(r: Draw, count: int) -> str:
    return "".join(r.choices(string.digits, k=count))


def dot(number: str, weights: Weights) -> int:
    return sum(int(digit) * weight for digit, weight in zip(number, weights, strict=True))


def luhn(number: str) -> str:
    """The number with its Luhn digit."""
    doubled = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(number))]
    return number + str(-sum(value // 10 + value % 10 for value in doubled) % 10)


def mod11(number: str, weights: Weights, *, ten: str = "") -> str:
    """The number with 11 - sum % 11 behind it; empty when that is 10 and `ten` names no sign for it."""
    check = (11 - dot(number, weights) % 11) % 11
    return number + str(check) if check < 10 else number + ten if ten else ""


def mod11_10(number: str) -> str:
    """ISO 7064 mod 11,10."""
    rest = 10
    for digit in number:
        rest = ((rest + int(digit)) % 10 or 10) * 2 % 11
    return number + str((11 - rest) % 10)


def verhoeff(number: str) -> str:
    """Verhoeff's dihedral check digit: the group of the pentagon, and powers of his permutation."""
    power = [list(range(10)), [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
    while len(power) < 8:
        power.append([power[-1][value] for value in power[1]])

    def times(a: int, b: int) -> int:
        if a < 5:
            return (a + b) % 5 if b < 5 else 5 + (a + b) % 5
        return 5 + (a - b) % 5 if b < 5 else (a - b) % 5

    total = 0
    for place, digit in enumerate(reversed(number), 1):
        total = times(total, power[place % 8][int(digit)])
    return number + str(next(check for check in range(10) if times(total, check) == 0))


def until(draw: Callable[[], str]) -> str:
    """Draws again while the check digit cannot be written."""
    while not (value := draw()):
        pass
    return value


def birth(r: Draw, form: str) -> str:
    """A day from 1945 to 1999; `form` of {y} {yyyy} {m} {d}."""
    year = r.randint(1945, 1999)
    return form.format(y=f"{year % 100:02}", yyyy=year, m=f"{r.randint(1, 12):02}", d=f"{r.randint(1, 28):02}")


def letters(r: Draw, count: int, among: str = string.ascii_uppercase) -> str:
    return "".join(r.choices(among, k=count))


# --- national numbers ---------------------------------------------------------------------------------------------------------------


def nhs(r: Draw) -> str:
    number = until(lambda: mod11(digits(r, 9), range(10, 1, -1)))
    return f"{number[:3]} {number[3:6]} {number[6:]}" if r.random() < 0.5 else number


def nino(r: Draw) -> str:
    number = f"{r.choice('ABCEHJLMPRSTWXY')}{r.choice('ABCEHJLMPRSWXYZ')}{digits(r, 6)}{r.choice('ABCD')}"
    bad = number[:2] in ("GB", "BG", "NK", "KN", "TN", "NT", "ZZ")
    return nino(r) if bad else " ".join((number[:2], number[2:4], number[4:6], number[6:8], number[8])) if r.random() < 0.5 else number


def nir(r: Draw) -> str:
    number = f"{r.choice('12')}{birth(r, '{y}{m}')}{r.choice((75, 13, 69, 31, 59, 33))}{r.randint(1, 300):03}{r.randint(1, 999):03}"
    whole = f"{number}{97 - int(number) % 97:02}"
    return " ".join((whole[0], whole[1:3], whole[3:5], whole[5:7], whole[7:10], whole[10:13], whole[13:])) if r.random() < 0.5 else whole


def dni(r: Draw) -> str:
    number = digits(r, 8)
    return number + ("-" if r.random() < 0.3 else "") + "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]


def nie(r: Draw) -> str:
    first, number = r.randrange(3), digits(r, 7)
    return "XYZ"[first] + number + "TRWAGMYFPDXBNJZSQVHLCKE"[int(f"{first}{number}") % 23]


def steuer_id(r: Draw) -> str:
    """One digit twice, eight once, none a third time; no leading zero."""
    kept = r.sample(string.digits, 9)
    ten = r.sample([*kept, kept[0]], 10)
    number = mod11_10("".join(ten))
    if number[0] == "0":
        return steuer_id(r)
    return f"{number[:2]} {number[2:5]} {number[5:8]} {number[8:]}" if r.random() < 0.5 else number


def bsn(r: Draw) -> str:
    number = until(lambda: mod_bsn("1" + digits(r, 7)))
    return f"{number[:4]}.{number[4:6]}.{number[6:]}" if r.random() < 0.3 else number


def mod_bsn(eight: str) -> str:
    check = dot(eight, range(9, 1, -1)) % 11
    return eight + str(check) if check < 10 else ""


def rijksregister(r: Draw) -> str:
    number = f"{birth(r, '{y}{m}{d}')}{r.randint(1, 997):03}"
    return f"{number[:2]}.{number[2:4]}.{number[4:6]}-{number[6:]}.{97 - int(number) % 97:02}"


def pesel(r: Draw) -> str:
    number = birth(r, "{y}{m}{d}") + digits(r, 4)
    return number + str(-dot(number, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10)


def cpf(r: Draw) -> str:
    number = digits(r, 9)
    for first in (10, 11):
        number = mod11(number, range(first, 1, -1), ten="0")
    return f"{number[:3]}.{number[3:6]}.{number[6:9]}-{number[9:]}" if r.random() < 0.7 else number


def aadhaar(r: Draw) -> str:
    number = verhoeff(r.choice("23456789") + digits(r, 10))
    return f"{number[:4]} {number[4:8]} {number[8:]}" if r.random() < 0.7 else number


def nik(r: Draw) -> str:
    day = r.randint(1, 28) + r.choice((0, 40))
    return f"{r.choice((3171, 3273, 3374, 3578, 5171, 1271, 7371))}{r.randint(1, 20):02}{day:02}{birth(r, '{m}{y}')}{r.randint(1, 60):04}"


def tckn(r: Draw) -> str:
    nine = r.choice("123456789") + digits(r, 8)
    odd, even = sum(map(int, nine[::2])), sum(map(int, nine[1::2]))
    ten = nine + str((odd * 7 - even) % 10)
    return ten + str(sum(map(int, ten)) % 10)


def ric(r: Draw) -> str:
    number = r.choice(("110101", "310101", "440103", "510104")) + birth(r, "{yyyy}{m}{d}") + digits(r, 3)
    return number + "10X98765432"[dot(number, [2**place % 11 for place in range(17, 0, -1)]) % 11]


def rrn(r: Draw) -> str:
    number = birth(r, "{y}{m}{d}") + r.choice("12") + f"{r.randint(0, 95):02}" + digits(r, 3)
    return f"{number[:6]}-{number[6:]}{(11 - dot(number, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10}"


def hetu(r: Draw) -> str:
    number = birth(r, "{d}{m}{y}") + f"{r.randint(2, 899):03}"
    return f"{number[:6]}-{number[6:]}" + "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(number) % 31]


def fodselsnummer(r: Draw) -> str:
    def draw() -> str:
        ten = mod11(birth(r, "{d}{m}{y}") + f"{r.randint(0, 499):03}", (3, 7, 6, 1, 8, 9, 4, 5, 2))
        return ten and mod11(ten, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2))

    return until(draw)


def cnp(r: Draw) -> str:
    number = r.choice("12") + birth(r, "{y}{m}{d}") + f"{r.randint(1, 46):02}{r.randint(1, 999):03}"
    check = dot(number, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return number + ("1" if check == 10 else str(check))


def ahv(r: Draw) -> str:
    number = "756" + digits(r, 9)
    whole = number + str(-dot(number, (1, 3) * 6) % 10)
    return f"{whole[:3]}.{whole[3:7]}.{whole[7:11]}.{whole[11:]}"


def rut(r: Draw) -> str:
    number = str(r.randint(5_000_000, 25_000_000)).zfill(8)
    whole = mod11(number, (3, 2, 7, 6, 5, 4, 3, 2), ten="K")
    return f"{int(number):,}".replace(",", ".") + f"-{whole[-1]}"


def cuit(r: Draw) -> str:
    whole = until(lambda: mod11(r.choice(("20", "27")) + digits(r, 8), (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)))
    return f"{whole[:2]}-{whole[2:10]}-{whole[10]}"


def thai(r: Draw) -> str:
    number = r.choice("12345678") + digits(r, 11)
    whole = number + str((11 - dot(number, range(13, 1, -1)) % 11) % 10)
    return f"{whole[0]}-{whole[1:5]}-{whole[5:10]}-{whole[10:12]}-{whole[12]}"


def egyptian(r: Draw) -> str:
    return "2" + birth(r, "{y}{m}{d}") + f"{r.choice((1, 2, 3, 12, 14, 21, 28, 31)):02}" + digits(r, 4) + r.choice("123456789")


def sin(r: Draw) -> str:
    number = luhn(r.choice("1234567") + digits(r, 7))
    return f"{number[:3]} {number[3:6]} {number[6:]}" if r.random() < 0.7 else number


def tfn(r: Draw) -> str:
    def draw() -> str:
        eight = digits(r, 8)
        check = next((check for check in range(10) if (dot(eight, (1, 4, 3, 7, 5, 8, 6, 9)) + 10 * check) % 11 == 0), None)
        return "" if check is None else f"{eight[:3]} {eight[3:6]} {eight[6:]}{check}"

    return until(draw)


def codice_fiscale(r: Draw) -> str:
    odd = dict(
        zip(
            DIGITS36,
            [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)],
            strict=True,
        )
    )
    number = letters(r, 6, "BCDFGLMNPRST") + birth(r, "{y}") + r.choice("ABCDEHLMPRST") + birth(r, "{d}") + r.choice(("H501", "F205", "L219", "F839"))
    total = sum(
        odd[sign] if place % 2 == 0 else DIGITS36.index(sign) % 10 if sign.isdigit() else DIGITS36.index(sign) - 10 for place, sign in enumerate(number)
    )
    return number + string.ascii_uppercase[total % 26]


def curp(r: Draw) -> str:
    initials = letters(r, 1) + r.choice("AEIOU") + letters(r, 2, "BCDFGLMNPRST")
    number = f"{initials}{birth(r, '{y}{m}{d}')}{r.choice('HM')}{r.choice(('DF', 'JC', 'NL', 'PL'))}{letters(r, 3, 'BCDFGLMNPRST')}{r.randint(0, 9)}"
    alphabet = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
    return number + str(-sum(alphabet.index(sign) * (18 - place) for place, sign in enumerate(number)) % 10)


def nric_sg(r: Draw) -> str:
    first, number = r.choice("ST"), digits(r, 7)
    return first + number + "JZIHGFEDCBA"[(dot(number, (2, 7, 6, 5, 4, 3, 2)) + 4 * (first == "T")) % 11]


NATIONAL: tuple[tuple[str, Callable[[Draw], str], str], ...] = (
    ("US", lambda r: f"{r.choice((212, 345, 512, 601))}-{r.randint(1, 99):02}-{r.randint(1, 9999):04}", "My social security number is {v}, as on the card."),
    ("GB", nhs, "The patient's NHS number is {v}."),
    ("GB", nino, "National Insurance: {v}"),
    ("FR", nir, "Mon numéro de sécurité sociale est le {v}, merci."),
    ("ES", dni, "Mi documento es {v} y vivo en Sevilla."),
    ("ES", nie, "El NIE de la señora es {v}."),
    ("DE", steuer_id, "Meine Steuer-ID lautet {v}."),
    ("NL", bsn, "Mijn BSN is {v}."),
    ("BE", rijksregister, "Rijksregisternummer {v}, Gent."),
    ("PL", pesel, "PESEL: {v}"),
    ("BR", cpf, "O CPF do titular é {v}."),
    ("IN", aadhaar, "Mera Aadhaar number {v} hai."),
    ("IN", lambda r: letters(r, 3) + "P" + letters(r, 1) + f"{r.randint(1, 9999):04}" + letters(r, 1), "PAN of the holder: {v}"),
    ("ID", nik, "NIK saya {v}, tolong dicek."),
    ("NG", lambda r: digits(r, 11), "My NIN is {v} abeg."),
    ("KE", lambda r: str(r.randint(10_000_000, 39_999_999)), "Nambari ya kitambulisho {v}."),
    ("KE", lambda r: r.choice("AP") + digits(r, 9) + letters(r, 1), "KRA PIN {v} ya mteja."),
    ("ZA", lambda r: luhn(birth(r, "{y}{m}{d}") + digits(r, 4) + r.choice("01") + "8"), "ID number {v}, Durban."),
    ("TR", tckn, "TC kimlik no {v} olan kişi."),
    ("CN", ric, "身份证号码：{v}。"),
    ("KR", rrn, "주민등록번호 {v} 입니다."),
    ("SE", lambda r: f"{(n := luhn(birth(r, '{y}{m}{d}') + digits(r, 3)))[:6]}-{n[6:]}", "Personnummer {v}."),
    ("FI", hetu, "Henkilötunnus on {v}."),
    ("NO", fodselsnummer, "Fødselsnummer: {v}"),
    ("DK", lambda r: birth(r, "{d}{m}{y}") + "-" + r.choice("0123") + digits(r, 3), "Mit CPR-nummer er {v}."),
    ("RO", cnp, "CNP {v}, București."),
    ("HR", lambda r: mod11_10(digits(r, 10)), "OIB: {v}"),
    ("CH", ahv, "AHV-Nummer {v}."),
    ("CL", rut, "RUT {v}, Santiago."),
    ("AR", cuit, "CUIT {v} de la empresa."),
    ("TH", thai, "เลขบัตรประชาชน {v}"),
    ("PK", lambda r: f"{r.choice('1234567')}{digits(r, 4)}-{digits(r, 7)}-{r.randint(1, 9)}", "Mera CNIC {v} hai."),
    ("MY", lambda r: birth(r, "{y}{m}{d}") + f"-{r.randint(1, 14):02}-" + f"{r.randint(1, 9999):04}", "Kad pengenalan {v}."),
    ("EG", egyptian, "الرقم القومي {v} للمواطن."),
    ("CA", sin, "Her SIN: {v}."),
    ("AU", tfn, "Tax file number {v}."),
    ("IT", codice_fiscale, "Il codice fiscale è {v}."),
    ("MX", curp, "Mi CURP es {v}."),
    ("SG", nric_sg, "NRIC {v}, Singapore."),
)

# --- the other kinds ----------------------------------------------------------------------------------------------------------------

MOBILES = {
    "US": ("1", "", ("212", "415", "305"), "### ####"), "GB": ("44", "0", ("7400", "7512", "7890"), "######"), "DE": ("49", "0", ("151",), "########"),
    "FR": ("33", "0", ("6",), " ## ## ## ##"), "ES": ("34", "", ("612", "655"), "### ###"), "IT": ("39", "", ("347", "320"), "### ####"),
    "NL": ("31", "0", ("6",), "########"), "BR": ("55", "", ("11 9", "21 9"), "####-####"), "MX": ("52", "", ("55",), "#### ####"),
    "IN": ("91", "0", ("98", "99"), "### #####"), "ID": ("62", "0", ("812", "857"), "-####-####"), "KE": ("254", "0", ("712", "722"), " ######"),
    "NG": ("234", "0", ("803", "806"), " ### ####"), "ZA": ("27", "0", ("82", "83"), " ### ####"), "EG": ("20", "0", ("10", "11"), "########"),
    "TR": ("90", "0", ("532", "542"), " ### ## ##"), "VN": ("84", "0", ("91", "98"), " ### ####"), "PH": ("63", "0", ("917", "918"), " ### ####"),
    "PK": ("92", "0", ("300", "321"), "-#######"), "BD": ("880", "0", ("171", "181"), "#######"), "AU": ("61", "0", ("412", "432"), " ### ###"),
    "TH": ("66", "0", ("81", "89"), " ### ####"), "MY": ("60", "0", ("12", "13"), "-### ####"), "JP": ("81", "0", ("90", "80"), "-####-####"),
}  # fmt: skip
"""Country code, trunk prefix, mobile prefixes, form of the rest; as the regulators' numbering plans assign them."""
PHONES_SAID = (
    "Please call me at {v}.", "Hubungi saya di {v} ya.", "Mon téléphone: {v}.", "Llame al {v} por favor.", "Meine Handy Nummer: {v}",
    "Me ligue no celular {v}.",
    "Piga simu {v} sasa.", "WhatsApp {v}", "Cep telefonu: {v}", "Số điện thoại {v}", "मोबाइल {v} पर", "رقم الهاتف {v}", "Мой телефон {v}.", "电话：{v}。",
)  # fmt: skip
MAILS_SAID = (
    "Write to {v}, please.", "Kirim ke {v}.", "Écrivez à {v} !", "Correo: {v}", "Schreib an <{v}>.", "Tuma kwa {v}", "बात करें {v} पर", "راسلنا على {v}",
    "邮箱：{v}。",
    "({v})", "mailto:{v}?subject=x", "E-mail:{v};",
)  # fmt: skip
CARDS_SAID = ("Card {v} was charged.", "Kartu {v} ditolak.", "Ma carte {v} expire.", "Número de tarjeta {v}, CVV 123.", "卡号{v}。", "Pay with {v}")
IBANS_SAID = ("Transfer to {v}.", "IBAN: {v}", "Überweisung auf {v}, danke.", "Virement sur {v} SVP", "Conta {v} em euros")
NETS_SAID = ("The host {v} is down.", "Login from {v}", "ping {v}", "Alamat {v} diblokir.", "src={v} dst=?")
PASSPORTS_SAID = ("Passport no. {v}, valid.", "Paspor: {v}", "Numéro de passeport {v}", "Pasaporte nº {v}", "护照号码{v}")
BIRTHS_SAID = ("Born on {v}.", "Date of birth: {v}", "Lahir di Medan, {v}", "Née le {v} à Lyon", "Nacido el {v}.", "Geboren am {v}", "Alizaliwa {v}", "DOB {v}")
NAMES_SAID = (
    ("My name is {v}.", "en"), ("Dr. {v} will see you.", "en"), ("Nama saya {v}, dari Medan.", "id"), ("Ibu {v} sudah datang.", "id"),
    ("Je m'appelle {v}.", "fr"),
    ("Mme {v} est absente.", "fr"), ("Me llamo {v}.", "es"), ("Meu nome é {v}.", "pt"), ("Ich heiße {v}.", "de"), ("Jina langu ni {v}.", "sw"),
    ("Benim adım {v}.", "tr"), ("Меня зовут {v}.", "ru"), ("मेरा नाम {v} है।", "hi"), ("我叫{v}，你好。", "zh"), ("제 이름은 {v}입니다.", "ko"),
    ("Tôi tên là {v}.", "vi"), ("Mr {v} and his son", "en"), ("Name: {v}\nAge: 40", "en"),
)  # fmt: skip
BARE_SAID = ("{v} signed the form.", "We spoke with {v} yesterday.", "{v} sudah datang kemarin.", "Le dossier de {v} est complet.", "Gestern kam {v} vorbei.")
PEOPLE = {
    "en": ("John Smith", "Mary O'Brien", "Wei Chen", "Fatima al Sayed", "J. P. Morgan-Lee", "Amina"),
    "id": ("Budi Santoso", "Siti Nurhaliza", "Dewi", "Agus Wijaya"),
    "fr": ("Jean-Luc Dupont", "Aïssatou Diallo", "Zoé de la Tour"), "es": ("María José García", "Juan Pérez", "Ana"), "pt": ("João da Silva", "Beatriz Souza"),
    "de": ("Jürgen Müller", "Anna von Berg", "Öznur Yıldız"), "sw": ("Juma Mwangi", "Neema Otieno", "Wanjiru"), "tr": ("Ayşe Yılmaz", "İbrahim Çelik"),
    "ru": ("Иван Петров", "Ольга Сергеевна Ким"), "hi": ("राहुल शर्मा", "प्रिया वर्मा", "आशा"), "zh": ("王小明", "李娜"), "ko": ("김민수", "이서연"),
    "vi": ("Nguyễn Văn An", "Trần Thị Mai"),
}  # fmt: skip


def phone(r: Draw) -> tuple[str, str]:
    country, (code, trunk, prefixes, form) = r.choice(sorted(MOBILES.items()))
    rest = "".join(r.choice("23456789") if sign == "#" else sign for sign in form)
    prefix = r.choice(prefixes)
    gap = "" if form[0] in " -" else r.choice((" ", "-") if country == "US" else (" ", ""))
    if r.random() < 0.5:
        return f"+{code} {prefix}{gap}{rest}", country
    return f"({prefix}) {rest.replace(' ', '-')}" if country == "US" else f"{trunk}{prefix}{gap}{rest}", country


def email(r: Draw) -> str:
    person = r.choice(("maria.garcia", "budi_santoso88", "j.smith+news", "a", "о.петров", "info-desk", "wanjiru2024", "li.na"))
    return (
        f"{person}{r.randint(1, 999) if r.random() < 0.3 else ''}@{r.choice(('example.com', 'mail.go.id', 'uni-köln.de', 'x.co.ke', 'sub.dept.example.org'))}"
    )


def card(r: Draw) -> str:
    number = luhn(
        (head := r.choice(("4", "51", "55", "2221", "34", "37", "6011", "3530", "6212", "2200", "5061")))
        + digits(r, (14 if head in ("34", "37") else 15) - len(head))
    )
    gap = r.choice(("", " ", "-"))
    parts = (number[:4], number[4:10], number[10:]) if len(number) == 15 else (number[:4], number[4:8], number[8:12], number[12:])
    return gap.join(parts)


def iban(r: Draw) -> str:
    """BBANs whose inner check digits are none, or computed: Germany, Netherlands, Britain, Austria, Sweden, Turkey, Saudi Arabia, Pakistan."""
    country, form = r.choice(
        (
            ("DE", "n" * 18),
            ("NL", "ABNA" + "n" * 10),
            ("GB", "WEST" + "n" * 14),
            ("AT", "n" * 16),
            ("TR", "00061" + "0" + "n" * 16),
            ("SA", "80" + "n" * 18),
            ("PK", "SCBL" + "n" * 16),
        )
    )
    bban = "".join(r.choice(string.digits) if sign == "n" else sign for sign in form)
    check = 98 - int("".join(str(DIGITS36.index(sign)) for sign in f"{bban}{country}00")) % 97
    whole = f"{country}{check:02}{bban}"
    return " ".join(whole[at : at + 4] for at in range(0, len(whole), 4)) if r.random() < 0.6 else whole


def ip(r: Draw) -> str:
    if r.random() < 0.5:
        return ".".join(str(r.randint(1, 254)) for _ in range(4))
    return r.choice(
        (f"2001:db8::{r.getrandbits(16):x}", ":".join(f"{r.getrandbits(16):x}" for _ in range(8)), f"fe80::{r.getrandbits(16):x}:{r.getrandbits(16):x}")
    )


def mac(r: Draw) -> str:
    return r.choice((":", "-")).join(f"{r.getrandbits(8):02x}" for _ in range(6))


def birth_date(r: Draw) -> str:
    return birth(r, r.choice(("{d}/{m}/{yyyy}", "{yyyy}-{m}-{d}", "{d}.{m}.{yyyy}", "{d} May {yyyy}", "{d} Agustus {yyyy}", "{d} de marzo de {yyyy}")))


# --- what is none -------------------------------------------------------------------------------------------------------------------

NEGATIVES: tuple[Callable[[Draw], str], ...] = (
    lambda r: f"Order {digits(r, r.choice((8, 10, 12, 14)))} has shipped.",
    lambda r: f"Pesanan #{digits(r, 9)} sudah dikirim.",
    lambda r: f"Invoice INV-{r.randint(2019, 2026)}-{digits(r, 5)} is due.",
    lambda r: f"Le {r.randint(1, 28)}/{r.randint(1, 12)}/{r.randint(2000, 2026)} à {r.randint(0, 23)}:{r.randint(0, 59):02}.",
    lambda r: (
        f"Meeting on {r.randint(2000, 2026)}-{r.randint(1, 12):02}-{r.randint(1, 28):02} {r.randint(0, 23):02}:{r.randint(0, 59):02}:{r.randint(0, 59):02}."
    ),
    lambda r: f"Harga Rp {r.randint(1, 99)}.{digits(r, 3)}.{digits(r, 3)},00 saja.",
    lambda r: f"It costs ${r.randint(1, 999)},{digits(r, 3)},{digits(r, 3)}.{digits(r, 2)} in total.",
    lambda r: f"R$ {r.randint(1, 999)}.{digits(r, 3)},{digits(r, 2)} por unidade",
    lambda r: f"The site lies at {r.uniform(-90, 90):.6f}, {r.uniform(-180, 180):.6f}.",
    lambda r: f"Upgrade to version {r.randint(1, 20)}.{r.randint(0, 30)}.{r.randint(0, 30)}.{r.randint(0, 99)} now.",
    lambda r: f"kernel {r.randint(2, 6)}.{r.randint(0, 19)}.{r.randint(0, 200)}-{r.randint(1, 90)}-generic",
    lambda r: f"ISBN 978-{r.randint(0, 9)}-{digits(r, 4)}-{digits(r, 4)}-{r.randint(0, 9)} is out of print.",
    lambda r: f"EAN {(n := '400' + digits(r, 9))}{-dot(n, (1, 3) * 6) % 10} on the box",
    lambda r: f"timestamp={r.randint(1_500_000_000_000, 1_790_000_000_000)} level=info",
    lambda r: f"commit {r.getrandbits(160):040x}",
    lambda r: f"id {r.getrandbits(32):08x}-{r.getrandbits(16):04x}-4{r.getrandbits(12):03x}-a{r.getrandbits(12):03x}-{r.getrandbits(48):012x}",
    lambda r: f"Skor {r.randint(0, 9)}-{r.randint(0, 9)}, penonton {r.randint(10, 99)}.{digits(r, 3)} orang.",
    lambda r: "Yields: " + " ".join(str(r.randint(1000, 99999)) for _ in range(8)),
    lambda r: f"Population {r.randint(1, 300)} {digits(r, 3)} {digits(r, 3)} habitants",
    lambda r: f"@user{digits(r, 3)} rated it {r.randint(1, 5)}/5 @ {r.randint(1, 12)} pm",
    lambda r: f"See pages {r.randint(100, 400)}-{r.randint(401, 900)}, 10.{digits(r, 4)}/j.{digits(r, 6)}.",
    lambda r: f"Tracking number 1Z{digits(r, 6)}{digits(r, 10)} is late.",
    lambda r: f"Part AB-{digits(r, 4)}-{digits(r, 6)} fits model X{digits(r, 3)}.",
    lambda r: f"Postcode {digits(r, 5)}-{digits(r, 4)}, room {digits(r, 3)}.",
    lambda r: f"pi is 3.14159265358979{digits(r, 4)}",
    lambda r: f"std::vector<int>::{r.choice(('size', 'begin'))}() takes 12:30:{digits(r, 2)}",
    lambda r: f"The file name is Report{digits(r, 3)} and Mi Sedap costs {digits(r, 4)} rupiah",
    lambda r: f"Batch no {digits(r, 16)} of lot {digits(r, 7)}",
    lambda r: f"Rekening {digits(r, 10)} di bank, saldo {r.randint(1, 9)}.{digits(r, 3)}.{digits(r, 3)}",
    lambda r: f"Between {r.randint(1900, 1950)} and {r.randint(1951, 2025)}, {r.randint(1, 100)} % of {digits(r, 6)} rows",
    lambda r: f"Rows 1 2 3 4 5 6 7 8 9 {digits(r, 2)} 11 12 13",
    lambda _: "The bus was late again and nobody told us anything about it.",
    lambda _: "Makanannya enak, pelayanannya cepat, dan tempatnya bersih.",
)


def sentence(r: Draw, kind: str) -> Case:
    """One that holds one value of the kind."""
    country = ""
    if kind == "national_id":
        country, draw, said = r.choice(NATIONAL)
        value = draw(r)
    elif kind == "phone":
        value, country = phone(r)
        said = r.choice(PHONES_SAID)
    elif kind in ("name", BARE_NAME):
        said, language = r.choice(NAMES_SAID) if kind == "name" else (r.choice(BARE_SAID), r.choice(sorted(set(PEOPLE) - {"zh", "ko", "hi"})))
        value = r.choice(PEOPLE[language])
    elif kind == "url_user":
        value, said = (
            f"{r.choice(('admin', 'maria', 'svc-7'))}:{letters(r, 8, string.ascii_letters + string.digits)}",
            "Use https://{v}@example.org/path for it.",
        )
    else:
        draws, saids = {
            "email": (email, MAILS_SAID), "card": (card, CARDS_SAID), "iban": (iban, IBANS_SAID), "ip": (ip, NETS_SAID), "mac": (mac, NETS_SAID),
            "passport": (lambda r: letters(r, r.randint(1, 2)) + digits(r, 7), PASSPORTS_SAID), "birth_date": (birth_date, BIRTHS_SAID),
        }[kind]  # fmt: skip
        value, said = draws(r), r.choice(saids)
    before, after = said.split("{v}")
    extra = f" {r.choice(NEGATIVES)(r)}" if r.random() < 1 / 3 else ""
    return Case(f"{before}{value}{after}{extra}", kind, country, len(before), len(before) + len(value))


def cases(records: int, seed: int) -> list[Case]:
    """Half with a value, kinds in turn (national numbers three times as often), half without."""
    r = random.Random(seed)
    turn = (*KINDS, BARE_NAME, "national_id", "national_id")
    drawn = [sentence(r, turn[number // 2 % len(turn)]) if number % 2 == 0 else Case(r.choice(NEGATIVES)(r)) for number in range(records)]
    r.shuffle(drawn)
    return drawn


def scores(drawn: Sequence[Case]) -> tuple[dict[str, Score], list[str]]:
    """By kind, and what was wrong, in words."""
    wanted, hit, told = Counter(case.kind for case in drawn if case.kind), Counter[str](), Counter[str]()
    wrong = []
    for case, spans in zip(drawn, find_all([case.text for case in drawn]), strict=True):
        missed = bool(case.kind) and case.kind != BARE_NAME
        for span in spans:
            told[span.kind] += 1
            kind = "name" if case.kind == BARE_NAME else case.kind
            right = (span.kind, span.start, span.end) == (kind, case.start, case.end) and (kind != "national_id" or span.country == case.country)
            if right:
                hit[case.kind] += 1
                missed = False
            else:
                wrong.append(f"false {span.kind} {span.country} {span.rule}: {case.text[span.start : span.end]!r} in {case.text!r}")
        if missed:
            wrong.append(f"missed {case.kind} {case.country}: {case.text[case.start : case.end]!r} in {case.text!r}")
    correct = hit + Counter({"name": hit[BARE_NAME]})
    return {kind: Score(Share(hit[kind], wanted[kind]), Share(correct[kind], told[kind])) for kind in (*KINDS, BARE_NAME)}, wrong


def microseconds(texts: Sequence[str], kinds: Sequence[str] | None) -> float:
    """CPU time per record, the least of three passes."""
    passes = []
    for _ in range(3):
        start = time.process_time()
        find_all(texts, kinds)
        passes.append(time.process_time() - start)
    return min(passes) / len(texts) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--texts", type=Path, help="a folder of CSV files with a column `text`, to time on too")
    parser.add_argument("--wrong", action="store_true", help="list what was missed or false")
    arguments = parser.parse_args()
    print(f"command: python {' '.join(sys.argv)}; Python {platform.python_version()}, {platform.machine()}")
    drawn = cases(arguments.records, arguments.seed)
    found, wrong = scores(drawn)
    print(f"{'kind':13} {'values':>6}  {'recall [95 % Wilson]':24}  {'precision [95 % Wilson]':24}")
    for kind, score in found.items():
        print(f"{kind:13} {score.recall.total:6}  {score.recall}  {score.precision}")
    if arguments.wrong:
        print(*wrong, sep="\n")
    corpora = {"generated": [case.text for case in drawn]}
    if arguments.texts:
        files = sorted(arguments.texts.rglob("*.csv"))
        corpora[arguments.texts.name] = [row["text"] for file in files for row in csv.DictReader(file.open(encoding="utf-8"))]
    for name, texts in corpora.items():
        spent = f"all kinds {microseconds(texts, None):.1f}, e-mail and card {microseconds(texts, ('email', 'card')):.1f}"
        print(f"{name}: {len(texts)} texts of {sum(map(len, texts)) / len(texts):.0f} characters; CPU microseconds per record: {spent}")


if __name__ == "__main__":
    main()
