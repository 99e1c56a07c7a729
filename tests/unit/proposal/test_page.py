"""The page: self-contained, honest about what is unknown, readable in light and dark."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from dossier_kit import Made

from bench.report.page import LOOK
from stack.proposal.dossier import PAGE
from stack.proposal.page import TEMPLATES, quantity


class Parsed(HTMLParser):
    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def page(made: Made) -> str:
    return (made.out / PAGE).read_text()


def test_the_page_loads_nothing_and_runs_nothing(page: str) -> None:
    parsed = Parsed(page)
    assert parsed.open == []
    names = {tag for tag, _ in parsed.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "form"}
    assert "default-src 'none'" in next(attrs["content"] or "" for tag, attrs in parsed.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert not any(name == "style" or name.startswith("on") for _, attrs in parsed.tags for name in attrs)
    assert "url(" not in page
    assert "@import" not in page


def test_every_link_leads_to_a_file_of_the_dossier_a_place_on_the_page_or_a_source(page: str, made: Made) -> None:
    parsed = Parsed(page)
    places = {attrs["id"] for _, attrs in parsed.tags if "id" in attrs}
    for target in [attrs["href"] or "" for tag, attrs in parsed.tags if tag == "a"]:
        assert target.startswith("https://www.whitehouse.gov/") or target[1:] in places or (made.out / target).is_file()


def test_what_a_record_says_is_text_and_never_markup(page: str) -> None:
    assert "<b>of</b>" not in page
    assert "A run &lt;b&gt;of&lt;/b&gt; tests" in page


def test_an_unknown_figure_is_shown_as_unknown_with_its_reason(page: str) -> None:
    row = page[page.index("power_w") :].partition("</tr>")[0]
    assert "unknown" in row
    assert "no sensor" in row


def test_the_page_says_what_is_missing_what_fails_and_how_to_check(page: str, made: Made) -> None:
    assert "Not complete" in page
    assert "Does not hold" in page
    assert "the claim needs a measured figure and this one is published" in page
    assert f"stackproof dossier verify . --key-id {made.key.public.key_id}" in page
    assert "Two samples are few." in page


def luminance(colour: str) -> float:
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [channel / 12.92 if channel <= 0.03928 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_every_text_colour_reaches_the_contrast_of_wcag_aa(mode: int) -> None:
    palette = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", LOOK.read_text().split(":root {")[1 + mode]))
    for ink in ("ink", "muted", "accent", "warn", "bad", "good", "info", "plain"):
        assert contrast(palette[ink], palette["paper"]) >= 4.5, ink
        assert contrast(palette[ink], palette["panel"]) >= 4.5, ink
    for chip in ("good", "bad", "warn", "info", "plain"):
        assert contrast(palette[chip], palette[f"{chip}-bg"]) >= 4.5, chip
    for line in ("plot", "second", "good", "bad", "warn"):
        assert contrast(palette[line], palette["paper"]) >= 3, line


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (True, "", "yes"), (False, "", "no"), (1234567, "", "1,234,567"), (0.123456, "", "0.1235"), (123456.7, "", "123,457"), ("Intel", "", "Intel"),
        (12.5, "ms", "12.5\u00a0ms"), (24, "GiBy", "24\u00a0GiB"), (3.5, "{token}/s", "3.5\u00a0token/s"),
        (269029632, "By", "256.6\u00a0MiB"), (1023, "By", "1,023\u00a0B"), (1024, "By", "1\u00a0KiB"), (2**80, "By", "1.1e+12\u00a0TiB"),
    ],
)  # fmt: skip
def test_values_are_shown_as_people_read_them(value: float | int | str | bool, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_the_template_folder_ships_what_the_page_needs() -> None:
    assert {path.name for path in Path(TEMPLATES).iterdir()} >= {"index.html", "page.css", "demo.yaml"}
