"""Plots of a described dataset as SVG, each with its table and with how its figures came about (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stack.evidence import FigureClass
from stack.pipelines.trail.described import Described, Interval, LengthBin, ReliabilityBin
from stack.runtime.svg import Axis, Bar, Plot, bars

MOST_BARS = 12
"""More cannot be told apart at a glance: the rest is one bar, and stands in the table."""
LONGEST_LABEL = 36
"""Characters that fit above a bar."""
MOST_TICKS = 7
NAMELESS = "unknown"

FOREST_WIDTH, FOREST_STEP, FOREST_MARGIN = 360, 40, 8

Counts = Mapping[str, int]


@dataclass(frozen=True)
class Chart:
    title: str
    kind: FigureClass
    svg: Markup
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    legend: tuple[tuple[str, str], ...] = ()


def composition(dataset: Described) -> list[Chart]:
    """Languages, lengths, labels, people's labels and parts, as far as they were counted."""
    charts = [
        _counts("Languages", dataset.languages, "Language", "By BCP 47 tag, of the kept records.") if set(dataset.languages) - {""} else None,
        lengths(dataset.lengths) if dataset.lengths else None,
        _counts("Final labels", dataset.label_balance, "Label", "Of the kept records.", nameless="no label") if dataset.label_balance else None,
        _counts("Labels by people", dataset.gold_balance, "Label", "Of the kept records.", nameless="none given") if dataset.gold_balance else None,
        _counts("Parts", dataset.splits, "Part", "Of the kept records.") if set(dataset.splits) - {""} else None,
    ]
    return [chart for chart in charts if chart is not None]


def drops(dataset: Described) -> Chart | None:
    """By reason and stage, most first."""
    by_reason: dict[str, int] = {}
    for stage in dataset.stages:
        for reason, count in stage.dropped.items():
            name = f"{reason.replace('_', ' ')} ({stage.kind})"
            by_reason[name] = by_reason.get(name, 0) + count
    ranked = dict(sorted(by_reason.items(), key=lambda item: (-item[1], item[0])))
    return _counts("Dropped, by reason and stage", ranked, "Reason", "Each is named in dropped.jsonl.", of=dataset.read) if ranked else None


def agreement(dataset: Described) -> list[Chart]:
    """Of annotators among each other and with people; accuracy per labeler and language; calibration."""
    pairs = {f"{who(a)} / {who(b)}": each for (a, b), each in _drawn_pairs(dataset.kappa).items()}
    accuracy = {who(name): each for name, each in dataset.accuracy.items()}
    by_language = {language or NAMELESS: each for language, each in dataset.accuracy_by_language.items()}
    same = "Share of records with the same label as people gave; lines are 95 % intervals (Wilson)."
    beyond = "1 is full agreement, 0 what chance gives; lines are 95 % intervals (bootstrap over records)."
    charts = [
        intervals("Agreement beyond chance (kappa, alpha)", {**dataset.agreement, **pairs}, beyond, least=-1.0),
        intervals("Accuracy against people", accuracy, same),
        intervals("Accuracy of the final label, by language", by_language, same),
        calibration(dataset.reliability) if dataset.reliability else None,
    ]
    return [chart for chart in charts if chart is not None]


def _drawn_pairs(kappas: Mapping[tuple[str, str], Interval]) -> Mapping[tuple[str, str], Interval]:
    """All, or of more than can be told apart those with people, else those that agree least; the matrix has them all."""
    if len(kappas) <= MOST_BARS:
        return kappas
    with_people = {pair: each for pair, each in kappas.items() if "gold" in pair}
    known = [pair for pair in with_people or kappas if kappas[pair].value is not None]
    least = sorted(known, key=lambda pair: (kappas[pair].value or 0.0, pair))[:MOST_BARS]
    return {pair: kappas[pair] for pair in least}


def who(annotator: str) -> str:
    """An annotator as people call it."""
    return {"label": "final label", "gold": "people"}.get(annotator, annotator)


def lengths(bins: Sequence[LengthBin]) -> Chart:
    """Bins of equal ratio, side by side."""
    edges = [each.low for each in bins] + [bins[-1].high]
    every = -(-len(edges) // MOST_TICKS)
    ticks = tuple((float(place), f"{edge:,}") for place, edge in enumerate(edges) if place % every == 0)
    plot = Plot(
        "Text lengths in characters", Axis("characters", float(len(bins)), ticks), Axis.up_to(float(max(each.records for each in bins)), "records", count=4)
    )
    xs, ys = [float(place) for place in range(len(edges))], [*(float(each.records) for each in bins), 0.0]
    plot.area(xs, ys, "one")
    plot.steps(xs, ys, "one")
    total = sum(each.records for each in bins)
    spans = [f"{each.low:,} to {each.high - 1:,}" if each.high - each.low > 1 else f"{each.low:,}" for each in bins]
    rows = tuple((span, f"{each.records:,}", share(each.records, total)) for span, each in zip(spans, bins, strict=True))
    return Chart("Text lengths", FigureClass.MEASURED, plot.svg(), "Bins grow by a constant factor.", ("Characters", "Records", "Share"), rows)


def calibration(bins: Sequence[ReliabilityBin]) -> Chart:
    """Mean probability against the share that was right; the caption has the expected calibration error (C. Guo et al., ICML 2017, eq. 3)."""
    quarters = tuple((place / 4, f"{place * 25} %") for place in range(5))
    plot = Plot(
        "Share of labels that were right, by their probability", Axis("probability of the label", 1.0, quarters), Axis("right", 1.0, quarters), tall=True
    )
    plot.line([0.0, 1.0], [0.0, 1.0], "four")
    plot.line([each.probability for each in bins], [each.share_right for each in bins], "one")
    plot.dots([each.probability for each in bins], [each.share_right for each in bins], "one")
    total = sum(each.records for each in bins)
    error = sum(each.records * abs(each.probability - each.share_right) for each in bins) / total
    rows = tuple((f"{each.probability:.1%}", f"{each.share_right:.1%}", f"{each.records:,}") for each in bins)
    caption = f"Over {total:,} records that people labeled too; expected calibration error {error:.3f}."
    head = ("Mean probability", "Share right", "Records")
    return Chart(
        "Calibration", FigureClass.COMPUTED, plot.svg(), caption, head, rows, (("one", "this dataset"), ("four", "probabilities that mean what they say"))
    )


def intervals(title: str, figures: Mapping[str, Interval], caption: str, *, least: float = 0.0) -> Chart | None:
    """Points with their intervals from `least` to 1, one under another. None when no figure is known."""
    known = {name: each for name, each in figures.items() if each.value is not None}
    if not known:
        return None
    # Negative agreement is rare: without any, the axis begins at 0.
    least = least if any((each.value if each.low is None else each.low) < 0 for each in known.values() if each.value is not None) else 0.0
    rows = tuple((name, in_figures(each), bounds(each) or "not told") for name, each in figures.items())
    return Chart(title, FigureClass.COMPUTED, _forest(known, title, least), caption, ("", "Value", "95 % interval"), rows)


def in_figures(figure: Interval) -> str:
    """0.665, or undefined."""
    return "undefined" if figure.value is None else f"{figure.value:.3f}"


def bounds(figure: Interval) -> str:
    """0.597 to 0.727, or nothing."""
    return "" if figure.low is None or figure.high is None else f"{figure.low:.3f} to {figure.high:.3f}"


def share(part: int, whole: int) -> str:
    """12.5 %."""
    return f"{part / whole:.1%}".replace("%", "\u00a0%") if whole else ""


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}\u2026"


def _counts(title: str, counts: Counts, what: str, caption: str, *, nameless: str = NAMELESS, of: int | None = None) -> Chart:
    """Bars with counts and shares, `of` all counted unless given."""
    total = sum(counts.values()) if of is None else of
    named = [(name or nameless, count) for name, count in counts.items()]
    rest = named[MOST_BARS - 1 :] if len(named) > MOST_BARS else []
    shown = [*named[: MOST_BARS - 1], (f"{len(rest)} others", sum(count for _, count in rest))] if rest else named
    drawn = [Bar(shortened(name), float(count), f"{count:,}  ({share(count, total)})") for name, count in shown]
    rows = tuple((name, f"{count:,}", share(count, total)) for name, count in named)
    return Chart(title, FigureClass.MEASURED, bars(drawn, title=title), caption, (what, "Records", "Share"), rows)


def _forest(figures: Mapping[str, Interval], title: str, least: float) -> Markup:
    def across(value: float) -> str:
        return f"{(value - least) / (1 - least) * (FOREST_WIDTH - 2 * FOREST_MARGIN) + FOREST_MARGIN:.1f}"

    head = '<svg class="bars forest" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>'
    height = FOREST_STEP * len(figures) + 20
    parts = [Markup(head).format(FOREST_WIDTH, height, title, title)]  # noqa: S704 - a constant of ours
    for tick in sorted({least, 0.0, 0.5, 1.0}):
        anchor = "start" if tick == least else "end" if tick == 1.0 else "middle"
        parts.append(Markup('<line class="tick" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(across(tick), height - 16))
        parts.append(Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(across(tick), height - 3, anchor, f"{tick:g}"))
    inset = FOREST_MARGIN + 5
    for place, (name, figure) in enumerate(figures.items()):
        y = place * FOREST_STEP
        assert figure.value is not None
        parts.append(Markup('<text class="label" x="{}" y="{}">{}</text>').format(inset, y + 13, shortened(name)))
        parts.append(Markup('<text class="value" x="{}" y="{}" text-anchor="end">{}</text>').format(FOREST_WIDTH - inset, y + 13, in_figures(figure)))
        if figure.low is not None and figure.high is not None:
            parts.append(Markup('<line class="whisker" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(across(figure.low), across(figure.high), y=y + 25))
        parts.append(Markup('<circle class="point" cx="{}" cy="{}" r="4.5"/>').format(across(figure.value), y + 25))
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)
