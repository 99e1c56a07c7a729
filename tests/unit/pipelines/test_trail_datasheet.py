"""The datasheet: self-contained, honest about what nobody said, safe against names, the same bytes again."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from trail_kit import HOSTILE, described, hostile

from stack.pipelines.trail import Described, Interval, Statements, datasheet
from stack.pipelines.trail.charts import MOST_BARS, agreement, composition, intervals, lengths
from stack.pipelines.trail.datasheet import confusion_matrix, kappa_matrix
from stack.pipelines.trail.described import log_bins


class Parsed(HTMLParser):
    VOID = frozenset({"meta", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open and data.strip():
            self.words.append(" ".join(data.split()))


def bare() -> Described:
    """Of a dataset of which hardly anything is known."""
    return Described(name="x", title="X", version="", description="", sources=(), stages=(), files=(), columns={}, read=0, labeled=0)


DATASETS = {"plain": described(), "hostile": hostile(), "bare": bare()}
PAGES = {name: datasheet(dataset) for name, dataset in DATASETS.items()}


def section(page: str, name: str) -> str:
    return page.partition(f'<section id="{name}">')[2].partition("</section>")[0]


@pytest.mark.parametrize("name", list(PAGES))
def test_the_page_loads_nothing_runs_nothing_and_every_tag_is_closed(name: str) -> None:
    parsed = Parsed(PAGES[name])
    assert parsed.open == []
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "img", "iframe", "object", "embed", "form"}
    assert "default-src 'none'" in next(attrs["content"] or "" for tag, attrs in parsed.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert not any(key == "style" or key.startswith("on") for _, attrs in parsed.tags for key in attrs)
    assert "url(" not in PAGES[name]
    assert "@import" not in PAGES[name]


@pytest.mark.parametrize("name", list(PAGES))
def test_every_link_leads_to_a_place_on_the_page_or_to_a_licence(name: str) -> None:
    parsed = Parsed(PAGES[name])
    places = {attrs["id"] for _, attrs in parsed.tags if "id" in attrs}
    for target in [attrs["href"] or "" for tag, attrs in parsed.tags if tag == "a"]:
        assert target[1:] in places or target.startswith("https://spdx.org/licenses/")


def test_names_full_of_markup_are_shown_as_text() -> None:
    page = PAGES["hostile"]
    assert "alert(1)" in page
    assert "<script" not in page
    assert "<svg onload" not in page
    assert HOSTILE in Parsed(page).words


def test_what_nobody_said_is_shown_as_not_stated() -> None:
    quiet = section(datasheet(replace(described(), statements=Statements())), "uses")
    assert quiet.count("not stated") == 2
    assert "declared" not in quiet
    said = section(datasheet(replace(described(), statements=Statements(uses="Routing.", limits="Rare topics."))), "uses")
    assert "not stated" not in said
    assert said.count('class="chip declared"') == 2


def test_agreement_and_accuracy_that_cannot_be_told_are_said_to_be_unknown() -> None:
    alone = replace(described(), agreement={}, kappa={}, accuracy={}, accuracy_by_language={}, reliability=(), confusion={})
    labels = section(datasheet(alone), "labels")
    assert "no record has two votes" in labels
    assert "no record has a human label" in labels


def test_every_figure_and_every_answer_says_how_it_came_about() -> None:
    page = PAGES["plain"]
    for caption in page.split("<figcaption>")[1:]:
        assert 'class="chip ' in caption.partition("</figcaption>")[0]
    for answer in page.split('<dd dir="auto">')[1:]:
        assert ('class="chip ' in answer.partition("</dd>")[0]) != ("not stated" in answer.partition("</dd>")[0])


def test_every_plot_has_a_name_and_a_table_with_the_same_figures() -> None:
    page = PAGES["plain"]
    figures = page.split("<figure>")[1:]
    assert len(figures) == 10
    for figure in figures:
        body = figure.partition("</figure>")[0]
        assert 'role="img" aria-label="' in body
        assert "<table>" in body
    assert "113" in section(page, "composition")


def test_what_was_dropped_and_why_adds_up_on_the_page() -> None:
    words = " ".join(Parsed(PAGES["plain"]).words)
    assert "Of 201 records that were read, 188 were kept, 12 dropped and 1 put in quarantine" in words
    assert "duplicate (dedup)" in words
    assert "accounted for" not in words
    assert "5 records are not accounted for" in datasheet(replace(described(), quarantined=0, labeled=184))
    assert "2 records more than were read are accounted for" in datasheet(replace(described(), labeled=190))


def test_the_same_dataset_gives_the_same_bytes() -> None:
    assert datasheet(described()) == PAGES["plain"]


def test_the_matrix_of_kappas_has_each_pair_once_with_its_interval() -> None:
    table = kappa_matrix(described())
    assert table is not None
    assert table.names == ("llm", "people")
    assert table.rows == (("keywords", (("-0.100", "-0.200 to 0.020"), ("0.500", ""))), ("llm", (("", ""), ("undefined", ""))))
    assert kappa_matrix(replace(described(), kappa={("a", "b"): Interval(0.5)})) is None


def test_rows_of_the_confusion_matrix_are_shares_of_what_people_said() -> None:
    table = confusion_matrix(described())
    assert table is not None
    assert table.names == ("final: positive", "final: negative")
    assert dict(table.rows)["positive"] == (("70", "87.5\u00a0%"), ("10", "12.5\u00a0%"))


def test_the_axis_of_agreement_goes_below_zero_only_where_a_figure_does() -> None:
    below = intervals("x", {"a": Interval(-0.1, -0.2, 0.0)}, "", least=-1.0)
    above = intervals("x", {"a": Interval(0.4, 0.2, 0.6)}, "", least=-1.0)
    assert below is not None
    assert above is not None
    assert ">-1<" in below.svg
    assert ">-1<" not in above.svg
    assert intervals("x", {"a": Interval(None)}, "") is None


def test_many_languages_become_few_bars_and_a_whole_table() -> None:
    many = replace(described(), languages={f"l{place:02}": 100 - place for place in range(40)})
    chart = composition(many)[0]
    assert chart.svg.count('class="bar ') == MOST_BARS
    assert "29 others" in chart.svg
    assert len(chart.rows) == 40


def test_of_many_annotators_the_plot_keeps_the_pairs_with_people() -> None:
    names = [f"n{place}" for place in range(6)]
    kappa = {(a, b): Interval(0.5) for place, a in enumerate(names) for b in [*names[place + 1 :], "gold"]}
    chart = agreement(replace(described(), agreement={}, kappa=kappa))[0]
    assert [row[0] for row in chart.rows] == [f"{name} / people" for name in names]


def test_lengths_are_drawn_bin_by_bin() -> None:
    chart = lengths(log_bins({20: 3, 25: 1, 90: 2}))
    assert chart.rows[0] == ("18 to 31", "4", "66.7\u00a0%")
    assert sum(int(row[1]) for row in chart.rows) == 6
