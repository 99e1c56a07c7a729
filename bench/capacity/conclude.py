"""What all probes of a sweep say together (pure functions)."""

from collections.abc import Sequence

from bench.capacity.curve import Curve, CurvePoint
from bench.capacity.models import BracketFigures, CapacityResult, ProbeResult
from bench.capacity.search import Done, SearchPlan, Tried, bracket, next_step


def tried(probes: Sequence[ProbeResult]) -> list[Tried]:
    """The probes that say something of the server: none that were invalid, cut short, or without a level to hold."""
    return [
        Tried(probe.load, probe.judgement.outcome == "meets", confirm=probe.kind == "confirm" or (probe.kind == "closed" and probe.judgement.certified))
        for probe in probes
        if probe.judgement is not None and probe.judgement.outcome in ("meets", "misses")
    ]


def bracket_of(probes: Sequence[ProbeResult]) -> BracketFigures:
    """Between which loads the capacity lies."""
    found = bracket(tried(probes))
    return BracketFigures(low=found.low, high=found.high, confirmed=found.confirmed)


def capacity_of(probes: Sequence[ProbeResult], *, precision: float, highest: float) -> float | None:
    """Requests per second that the search ends with, None while it would still go on: the planner itself says so."""
    known = tried([probe for probe in probes if probe.rate is not None])
    if not known:
        return None
    step = next_step(known, SearchPlan(start=known[0].rate, precision=precision, highest=highest))
    return step.rate if isinstance(step, Done) else None


def curve_of(result: CapacityResult) -> Curve:
    """One point a load; of two runs at one rate the longer. The estimate is a point as well: one stream."""
    points: dict[tuple[bool, float], CurvePoint] = {}
    for probe in result.probes:
        at = (probe.rate is None, probe.load)
        before = points.get(at)
        if before is None or probe.point.requests >= before.requests:
            points[at] = probe.point
    ordered = tuple(points[at] for at in sorted(points))
    return Curve(workload=result.workload.name, model=result.workload.model, devices=result.devices, points=ordered)
