"""The records that come with the project: what docs/datasets.md says of them holds, and the transit app can use its own."""

import csv
import hashlib
import importlib.util
import io
import json
import re
import sys
import tarfile
from collections import Counter
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from stack.apps.transit.reading import STAND_INS
from stack.apps.transit.stop_names import Mention, order_by_words, words
from stack.pipelines.labeling.spec import Keywords
from stack.pipelines.labeling.votes import count_keywords

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(str(files("stack.pipelines"))) / "data"
PAGE = (ROOT / "docs/datasets.md").read_text(encoding="utf-8")

LABELS = {
    "aiohttp-changes": {"fix", "feature", "docs", "removal", "internal"},
    "vital-articles": {"mathematics", "science", "technology", "history", "geography", "arts", "society", "philosophy"},
    "wordnet-conditions": {"circulation", "respiratory", "nervous", "mental", "skin", "tumor", "infection", "injury"},
    "wordnet-crops": {"cereal", "legume", "root", "vegetable", "fruit", "nut", "herb"},
    "multiwoz-requests": {"journey", "time", "booking", "asks_time", "asks_fare"},
    "multiwoz-destinations": set(STAND_INS),
    "nusax": {"positive", "neutral", "negative"},
}
LEXICONS = {
    "aiohttp-changes": "changes",
    "vital-articles": "subjects",
    "wordnet-conditions": "conditions",
    "wordnet-crops": "crops",
    "multiwoz-requests": "travel_requests",
    "multiwoz-destinations": "destinations",
}


def records(dataset: str) -> list[dict[str, str]]:
    found = []
    for path in sorted((DATA / dataset).glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as stream:
            found += list(csv.DictReader(stream, strict=True))
    return found


def lexicon(name: str) -> dict[str, tuple[str, ...]]:
    content = yaml.load((DATA / "lexicons" / f"{name}.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    return {label: tuple(phrases) for label, phrases in content.items()}


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("datasets_script", ROOT / "scripts/datasets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_folder_of_records_is_known_here_and_on_the_page() -> None:
    folders = {path.name for path in DATA.iterdir() if path.is_dir()} - {"lexicons"}
    assert folders == set(LABELS)
    assert [each for each in folders if f"`{each}`" not in PAGE] == []


@pytest.mark.parametrize("dataset", sorted(LABELS))
def test_the_page_gives_the_hash_and_the_count_of_every_file(dataset: str) -> None:
    for path in (DATA / dataset).glob("*.csv"):
        content = path.read_bytes()
        rows = len(list(csv.DictReader(io.StringIO(content.decode()))))
        line = next((line for line in PAGE.splitlines() if f"`{dataset}/{path.name}`" in line), "")
        assert hashlib.sha256(content).hexdigest() in line, f"docs/datasets.md has another SHA-256 for {dataset}/{path.name}"
        assert f"| {rows} |" in line
        assert len(content) <= 300_000


@pytest.mark.parametrize("dataset", sorted(LABELS))
def test_source_credit_licence_and_its_text_lie_beside_the_records(dataset: str) -> None:
    notice = (DATA / dataset / "NOTICE.txt").read_text(encoding="utf-8")
    for field in ("Source", "Credit", "Licence", "Changes"):
        assert re.search(rf"^{field}  +\S", notice, re.MULTILINE), f"{dataset}/NOTICE.txt says nothing of {field}"
    named = re.findall(r"LICENSE-[\w.-]*[\w]", notice)
    assert {path.name for path in (DATA / dataset).glob("LICENSE*")} == set(named)
    # Creative Commons asks for the address or the text; the others for the text.
    assert named or ("creativecommons.org/licenses/by-sa/4.0" in notice and "SHARE-ALIKE" in notice)


@pytest.mark.parametrize("dataset", sorted(LABELS))
def test_every_record_has_a_text_an_id_of_its_own_and_a_label(dataset: str) -> None:
    rows = records(dataset)
    assert 200 <= len(rows) <= 1500
    assert all(row["text"].strip() and row["id"] for row in rows)
    assert {row["label"] for row in rows} == LABELS[dataset]
    if dataset != "nusax":  # the same ids in both languages: the texts are translations of each other
        assert len({row["id"] for row in rows}) == len(rows)


@pytest.mark.parametrize("dataset", sorted(LEXICONS))
def test_a_lexicon_has_words_for_every_label_and_none_for_two(dataset: str) -> None:
    held = lexicon(LEXICONS[dataset])
    assert set(held) == LABELS[dataset]
    counts = Counter(phrase for phrases in held.values() for phrase in {phrase.casefold() for phrase in phrases})
    assert [phrase for phrase, count in counts.items() if count > 1] == []


@pytest.mark.parametrize(("dataset", "otherwise"), [(each, "fix" if each == "aiohttp-changes" else None) for each in sorted(LEXICONS)], ids=sorted(LEXICONS))
def test_the_page_says_how_often_the_keywords_vote_and_are_right(dataset: str, otherwise: str | None) -> None:
    rows = records(dataset)
    votes = count_keywords(Keywords(kind="keywords", name="k", lexicon=lexicon(LEXICONS[dataset]), otherwise=otherwise), [row["text"] for row in rows])
    voted = [(vote.label, row["label"]) for vote, row in zip(votes, rows, strict=True) if vote.label]
    right = sum(said == gold for said, gold in voted)
    most_frequent = max(Counter(row["label"] for row in rows).values())
    assert f"| `{dataset}` | {len(voted) / len(rows):.3f} | {right / len(voted):.3f} | {most_frequent / len(rows):.3f} |" in PAGE
    assert right / len(voted) > most_frequent / len(rows)


def test_the_transit_app_reads_the_destination_in_sentences_that_people_wrote() -> None:
    right = 0
    rows = records("multiwoz-destinations")
    for row in rows:
        tokens = words(row["text"])
        places = [(tokens.index(name.lower()), name) for name in STAND_INS]
        mentions = [Mention(name, 1.0, at, at + 1) for at, name in sorted(places)]
        right += order_by_words(row["text"], mentions)[1] == row["label"]
    assert f"{right} of {len(rows)}" in PAGE


def test_neither_the_place_nor_the_name_tells_the_destination() -> None:
    rows = records("multiwoz-destinations")
    first = [min(STAND_INS, key=row["text"].index) for row in rows]
    assert 0.4 < sum(name == "Oakland" for name in first) / len(rows) < 0.6
    assert 0.4 < sum(row["label"] == "Oakland" for row in rows) / len(rows) < 0.6


def test_no_marker_of_the_source_and_no_account_name_is_left_in_a_text() -> None:
    texts = [row["text"] for dataset in LEXICONS for row in records(dataset)]
    assert [text for text in texts if re.search(r"#[A-Z]+-[A-Z]+|user:`|-- by ", text)] == []


def tarball(name: str, content: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        member = tarfile.TarInfo(f"package-1/{name}")
        member.size = len(content.encode())
        tar.addfile(member, io.BytesIO(content.encode()))
    return out.getvalue()


def test_a_change_loses_its_credits_and_keeps_the_section_as_label(maker: ModuleType) -> None:
    log = (
        "Changes\n=======\n\n2.0 (2026-01-01)\n================\n\nBug fixes\n---------\n\n"
        "- Fixed the reader\n  losing its last line -- by :user:`somebody` and :user:`another`.\n\n\n  *Related issues and pull requests on GitHub:*\n"
        "  :issue:`7`.\n\n"
        "Features\n--------\n\n- Added a second reader for long lines. (#12)\n\n----\n\n1.0\n===\n\n- Not filed under anything at all\n"
    )
    rows = list(maker.changes(tarball("CHANGES.rst", log)))
    assert [(row.id, row.label) for row in rows] == [("aiohttp-2.0-fix-1", "fix"), ("aiohttp-2.0-feature-1", "feature")]
    assert rows[0].text == "Fixed the reader losing its last line."
    assert "somebody" not in rows[0].text


def test_a_sentence_with_two_acts_is_left_out_and_a_marker_says_only_its_kind(maker: ModuleType) -> None:
    spoken = {
        "Train-Inform": {
            "Dest;": ["I am going to #TRAIN-INFORM-DEST#  now ."],
            "Depart;Dest;": ["To #TRAIN-INFORM-DEST# from #TRAIN-INFORM-DEPART# by #TRAIN-INFORM-LEAVE# ."],
            "People;": ["Thank you very much ."],
        },
        "Taxi-Inform": {},
        "Train-Request": {"Time;": ["How long will it take ?", "Thank you very much ."]},
    }
    package = tarball("nlg/template/multiwoz/auto_user_template_nlg.json", json.dumps(spoken))
    found = {row.text: row.label for row in maker.requests(package)}
    assert found == {
        "I am going to [place] now .": "journey",
        "To [place] from [place] by [time] .": "journey",
        "How long will it take ?": "asks_time",
    }
    (row,) = maker.destinations(package)
    assert row.text == f"To {row.label} from {next(name for name in STAND_INS if name != row.label)} by [time] ."


def test_a_synset_under_two_labels_is_left_out(maker: ModuleType) -> None:
    lines = [
        "  1 licence",
        "00000010 20 n 01 cereal 0 000 | food grasses",
        "00000020 20 n 01 legume 0 000 | pods",
        '00000030 20 n 02 wheat 0 bread_wheat 0 001 @ 00000010 n 0000 | a grass; "wheat is grown"',
        "00000040 20 n 01 odd 0 002 @ 00000010 n 0000 @ 00000020 n 0000 | both",
        "00000050 20 n 01 emmer 0 001 @ 00000030 n 0000 | an old wheat",
    ]
    archive = tarball("data.noun", "\n".join(lines) + "\n")
    deb = b"!<arch>\n" + b"debian-binary   0           0     0     100644  3         `\n2.0\n" + f"{'data.tar.gz':<48}{len(archive):<10}`\n".encode() + archive
    found = list(maker._definitions(deb, {"cereal": ("00000010",), "legume": ("00000020",)}))
    assert [(row.text, row.label) for row in found] == [("wheat, bread wheat: a grass", "cereal"), ("emmer: an old wheat", "cereal")]


def test_another_package_is_refused_with_both_hashes(maker: ModuleType, tmp_path: Path) -> None:
    (tmp_path / maker.AIOHTTP.file).write_bytes(b"another")
    with pytest.raises(SystemExit, match=f"{hashlib.sha256(b'another').hexdigest()}, not {maker.AIOHTTP.sha256}"):
        maker.read_package(tmp_path, maker.AIOHTTP)
