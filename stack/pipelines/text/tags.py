"""Language tags (BCP 47) and the labels of py3langid's model."""

import re
from collections.abc import Iterable

# BCP 47 asks for the shortest code of ISO 639, and for `fil` where people say Filipino; the model has one label for each.
_LABELS = {"ki": "kik", "gn": "gug", "fil": "tl", "nb": "no"}
_TAGS = {"kik": "ki"}
_TAG = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")

UNDETERMINED = "und"
"""BCP 47 for "a language there is, but which is not known"."""

_ALL = """
ace af am an ar ary arz as az ba bcl be bg bn br bs ca crh cs cy da de dz el en eo es et eu ext fa fi fo fr fuv fy ga gcf gcr gd gl gom grc gu gug guw
ha hbo he hi hr ht hu hy id ig is it ja jv ka kab kik kk km kn ko ku ky la lb lg lij ln lo lt ltg lv mg mk ml mn mr ms mt my ne nl nn no nso oc om or
pa pcm pl ps pt qu ro ru rw sa sdh se si sk sl sn so sq sr st sv sw ta te tg th tk tl tr tt ug uk ur uz uzs vec vi vo wa wuu xh yo yue zh zu zxx
"""
LABELS = frozenset(_ALL.split())
"""What py3langid 0.4.0 can tell apart (a test holds this to the package); here so that a pipeline file is checked without loading a model."""


def label_of(tag: str) -> str:
    """The model's label for a tag: `pt-BR` gives `pt`."""
    primary = tag.split("-", 1)[0]
    return _LABELS.get(primary, primary)


def tag_of(label: str) -> str:
    return _TAGS.get(label, label)


def matches(language: str, ranges: Iterable[str]) -> bool:
    """Basic filtering of RFC 4647, section 3.3.1: a range matches itself and whatever it is a prefix of, by subtags, in any case."""
    low = language.lower()
    return any(low == wanted.lower() or low.startswith(wanted.lower() + "-") for wanted in ranges)


def check_tags(tags: tuple[str, ...], *, known: bool) -> tuple[str, ...]:
    """ValueError for what is not a tag; with `known`, also for what the model cannot tell and for two tags of one label."""
    labels: dict[str, str] = {}
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise ValueError(f"{tag!r} is not a language tag; write BCP 47, such as sw, pt-BR or zh-Hant")
        label = label_of(tag)
        if known and label not in LABELS:
            raise ValueError(f"{tag!r} is not among the languages that can be told: {', '.join(sorted(tag_of(name) for name in LABELS))}")
        if known and label in labels:
            raise ValueError(f"{labels[label]!r} and {tag!r} cannot be told apart; name one of them")
        labels[label] = tag
    return tags
