"""The datasheet of a dataset as one page: no network, no script, no second file (pure but for its own templates).

Its questions are those of T. Gebru et al., Datasheets for Datasets, CACM 64 (12), 2021, as far as a run or an author can answer them.
Each answer says whether it was measured, computed or declared; what nobody said is shown as not stated.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stack.evidence import FigureClass
from stack.pipelines.trail.charts import agreement, bounds, composition, drops, in_figures, share, who
from stack.pipelines.trail.croissant import cite_as
from stack.pipelines.trail.described import Described, Interval
from stack.pipelines.trail.licences import licence_url
from stack.runtime.page import LOOK, content_policy

TEMPLATES = Path(__file__).parent / "templates"

MEASURED, COMPUTED, DECLARED = FigureClass.MEASURED, FigureClass.COMPUTED, FigureClass.DECLARED


@dataclass(frozen=True)
class Answer:
    """To one question; an empty text is an answer that nobody gave."""

    question: str
    text: str
    kind: FigureClass


@dataclass(frozen=True)
class Matrix:
    """Rows of cells under names; a cell is its value and a line below it, both empty where there is nothing to say."""

    corner: str
    names: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


def datasheet(described: Described) -> str:
    """The page. The same dataset gives the same bytes."""
    style = LOOK.read_text(encoding="utf-8") + (TEMPLATES / "datasheet.css").read_text(encoding="utf-8")
    return (
        _environment()
        .get_template("datasheet.html")
        .render(
            dataset=described,
            style=Markup(style),  # noqa: S704 - our own files, not input
            csp=content_policy(style),
            tiles=tiles(described),
            motivation=motivation(described),
            composition=composed(described),
            collection=collected(described),
            uses=used(described),
            distribution=distributed(described),
            charts=composition(described),
            drops=drops(described),
            agreement=agreement(described),
            kappas=kappa_matrix(described),
            confusion=confusion_matrix(described),
            cite=cite_as(described),
        )
    )


def tiles(dataset: Described) -> list[tuple[str, str]]:
    known = [language for language in dataset.languages if language]
    alpha = next((each for each in dataset.agreement.values() if each.value is not None), None)
    final = dataset.accuracy.get("label")
    return [
        (f"{dataset.labeled:,}", f"records kept of {dataset.read:,} read"),
        *([(f"{len(known):,}", "language" if len(known) == 1 else "languages")] if known else []),
        (f"{dataset.dropped + dataset.quarantined:,}", f"records left out ({share(dataset.dropped + dataset.quarantined, dataset.read) or 'none read'})"),
        *([(f"{final.value:.1%}".replace("%", "\u00a0%"), "of final labels as people gave them")] if final and final.value is not None else []),
        *([(in_figures(alpha), "agreement of labelers, alpha")] if alpha else []),
    ]


def motivation(dataset: Described) -> list[Answer]:
    said = dataset.statements
    return [
        Answer("For what purpose was it made?", said.purpose, DECLARED),
        Answer("Who made it?", ", ".join(said.creators), DECLARED),
        Answer("Who paid for it?", said.funded_by, DECLARED),
    ]


def composed(dataset: Described) -> list[Answer]:
    unlabeled, spoken = dataset.label_balance.get("", 0), dataset.languages.get("", 0)
    missing = [f"{count:,} records without {what}" for count, what in ((unlabeled, "a label"), (spoken, "a known language")) if count]
    counted = bool(dataset.label_balance or dataset.languages)
    return [
        Answer("What is a record?", dataset.description, DECLARED),
        Answer("How many are there?", f"{dataset.labeled:,} records in {_several(len(dataset.data_files), 'data file')}", MEASURED),
        Answer("Is anything missing from records?", ("; ".join(missing) or "no record lacks its label or language") if counted else "", MEASURED),
        Answer("Does it hold personal data?", dataset.statements.personal_data, DECLARED),
    ]


def collected(dataset: Described) -> list[Answer]:
    return [
        Answer("How were the records acquired?", dataset.statements.collected_how, DECLARED),
        Answer("How much was read?", f"{_several(len(dataset.sources), 'file')} with {dataset.read:,} records", MEASURED),
    ]


def used(dataset: Described) -> list[Answer]:
    return [
        Answer("What is it for?", dataset.statements.uses, DECLARED),
        Answer("What is it not fit for?", dataset.statements.limits, DECLARED),
    ]


def distributed(dataset: Described) -> list[Answer]:
    return [
        Answer("Under which licences do its sources stand?", ", ".join(dataset.licences), DECLARED),
        Answer("How is it passed on?", dataset.statements.distribution, DECLARED),
        Answer("Where is it published?", dataset.url, DECLARED),
        Answer("When was it published?", dataset.published, DECLARED),
        Answer("Who maintains it?", dataset.statements.maintained_by, DECLARED),
    ]


def kappa_matrix(dataset: Described) -> Matrix | None:
    """Of three annotators or more; the plot alone is enough for two. Each pair stands once, above the diagonal."""
    names = list(dict.fromkeys(name for pair in dataset.kappa for name in pair))
    if len(names) < 3:
        return None
    # The first name of a pair comes first in its row; the last annotator has no row of its own.
    rows = tuple((who(a), tuple(_cell(dataset.kappa.get((a, b))) for b in names[1:])) for a in names[:-1])
    return Matrix("Cohen's kappa", tuple(map(who, names[1:])), rows)


def confusion_matrix(dataset: Described) -> Matrix | None:
    """Records by people's label (rows) and final label, with the share of the row."""
    if not dataset.confusion:
        return None
    golds = list(dict.fromkeys(gold for gold, _ in dataset.confusion))
    labels = list(dict.fromkeys([*(gold for gold in golds if gold in {label for _, label in dataset.confusion}), *(label for _, label in dataset.confusion)]))
    totals = {gold: sum(count for (truth, _), count in dataset.confusion.items() if truth == gold) for gold in golds}

    def cell(gold: str, label: str) -> tuple[str, str]:
        count = dataset.confusion.get((gold, label), 0)
        return f"{count:,}", share(count, totals[gold])

    return Matrix("People said", tuple(f"final: {label}" for label in labels), tuple((gold, tuple(cell(gold, label) for label in labels)) for gold in golds))


def _cell(figure: Interval | None) -> tuple[str, str]:
    return ("", "") if figure is None else (in_figures(figure), bounds(figure))


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def licence_link(licence: str) -> str:
    """The page of a known licence, else nothing: only addresses of ours become links."""
    address = licence_url(licence)
    return address if address != licence and address.startswith("https://spdx.org/licenses/") else ""


@cache
def _environment() -> Environment:
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(count=lambda number: f"{number:,}", licence_link=licence_link)
    return environment
