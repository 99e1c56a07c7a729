"""Draws `index.html`: one file that needs no network, no script and no second file to be read."""

import math
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stack.evidence import FigureClass, StoredRecord
from stack.proposal.charts import charts
from stack.proposal.claims import Outcome
from stack.proposal.coverage import Status
from stack.proposal.document import Scalar
from stack.proposal.dossier import Dossier, RecordEntry
from stack.runtime.page import LOOK, content_policy

TEMPLATES = Path(__file__).parent / "templates"

STATUS_WORDS = {Status.EVIDENCE: "Evidence", Status.DECLARED: "Declared only", Status.PARTIAL: "Partly", Status.MISSING: "Missing"}
OUTCOME_WORDS = {Outcome.HOLDS: "Holds", Outcome.DOES_NOT_HOLD: "Does not hold", Outcome.CANNOT_TELL: "Cannot tell"}
KIB = 1024
BINARY_UNITS = ("KiB", "MiB", "GiB", "TiB")
MOST_ROWS = 30
"""A longer table of figures is folded; print unfolds it."""
OPERATORS = {"<=": "at most", ">=": "at least", "==": "exactly"}


def render_page(dossier: Dossier, stored: Sequence[StoredRecord]) -> bytes:
    """The page of a dossier; `stored` are its records in the same order, for their plots."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(quantity=quantity, stamp=lambda moment: f"{moment:%Y-%m-%d %H:%M} UTC")
    style = LOOK.read_text() + (TEMPLATES / "page.css").read_text()
    page = environment.get_template("index.html").render(
        dossier=dossier,
        style=Markup(style),  # noqa: S704 - our own file, not input
        csp=content_policy(style),
        groups=_groups(dossier),
        charts={item.id: charts(item) for item in stored},
        records={record.id: record for record in dossier.records},
        hosts={record.host.fingerprint: record.host for record in dossier.records},
        tools={(record.tool.version, record.tool.commit, record.tool.dirty): record.tool for record in dossier.records},
        classes={kind: sum(figure.kind is kind for record in dossier.records for figure in record.figures) for kind in FigureClass},
        covered=sum(item.status is Status.EVIDENCE for item in dossier.coverage),
        outcomes={outcome: dossier.outcomes(outcome) for outcome in Outcome},
        status_words=STATUS_WORDS,
        outcome_words=OUTCOME_WORDS,
        operators=OPERATORS,
        most_rows=MOST_ROWS,
    )
    return page.encode()


def quantity(value: Scalar, code: str = "") -> str:
    """A value with its unit as people read it, held together by a no-break space; `dossier.json` has all its digits."""
    if code == "By" and isinstance(value, int | float) and abs(value) >= KIB:
        power = min(int(math.log(abs(value), KIB)), len(BINARY_UNITS))
        return f"{value / KIB**power:.4g}\u00a0{BINARY_UNITS[power - 1]}"
    return f"{_words(value)}\u00a0{unit(code)}" if code else _words(value)


def unit(code: str) -> str:
    """A UCUM code as people write it: `GiBy` is GiB, `{token}/s` is token/s."""
    return code.replace("{", "").replace("}", "").replace("By", "B")


def _words(value: Scalar) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return value


def _groups(dossier: Dossier) -> list[tuple[str, list[RecordEntry]]]:
    """Records by heading, in the order of the items of the call, then supporting evidence, then any other."""
    order = [f"{item.id} {item.title}" for item in dossier.coverage]
    groups: dict[str, list[RecordEntry]] = {}
    for record in dossier.records:
        groups.setdefault(record.heading, []).append(record)
    return sorted(groups.items(), key=lambda group: (order.index(group[0]) if group[0] in order else len(order), group[0]))
