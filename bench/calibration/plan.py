"""Which loads a calibration tries (logic)."""

from dataclasses import dataclass
from typing import Any

from bench.calibration.lookup import planned_load
from bench.calibration.models import CalibrationPoint, Loop, Verdict
from bench.errors import BenchError
from bench.workload import Workload

SHARES = (0.25, 0.5, 0.75, 1.0, 1.25)
WARMUP_S = 0.5


@dataclass(frozen=True)
class Curve:
    """The ready loads: streams of 100 tokens/s, and requests/s of 16 tokens."""

    streams: tuple[int, ...]
    rates: tuple[float, ...]


FULL = Curve((1, 4, 16, 64, 128, 256), (100, 300, 1000, 2000, 3000))
QUICK = Curve((1, 64, 256), (100, 1000, 3000))
CLOSED_TOKENS, OPEN_TOKENS = 128, 16


@dataclass(frozen=True)
class Level:
    """One load to try."""

    name: str
    loop: Loop
    load: float
    share: float | None
    workload: Workload


def levels_of(workload: Workload, *, duration_s: float) -> list[Level]:
    """A workload's arrivals at fractions of their highest rate or number of streams, with its prompts. BenchError for a trace."""
    planned = planned_load(workload)
    if planned is None:
        raise BenchError("field `arrivals.kind`: a trace has no planned rate: calibrate with poisson arrivals at its highest rate")
    loop, whole = planned
    loads = {_scaled(whole, share, loop): share for share in SHARES}  # few streams: two shares may round to one number
    return [_level(workload.model_dump(), loop, load, share, kind=workload.arrivals.kind, duration_s=duration_s) for load, share in loads.items()]


def _scaled(whole: float, share: float, loop: Loop) -> float:
    return float(max(1, round(whole * share))) if loop == "closed" else whole * share


def ready_levels(curve: Curve, *, duration_s: float) -> list[Level]:
    """The curves for no workload in particular."""

    def document(tokens: int) -> dict[str, Any]:
        return {"name": "calibration", "model": "mock", "prompts": {"kind": "text", "text": "hello", "max_tokens": tokens}}

    closed = [_level(document(CLOSED_TOKENS), "closed", streams, None, kind="concurrency", duration_s=duration_s) for streams in curve.streams]
    return closed + [_level(document(OPEN_TOKENS), "open", rate, None, kind="poisson", duration_s=duration_s) for rate in curve.rates]


def _level(document: dict[str, Any], loop: Loop, load: float, share: float | None, *, kind: str, duration_s: float) -> Level:
    """Arrivals of the same kind at a steady load; changing ones (steps, ramps) at their highest, which is what the client must bear."""
    arrivals: dict[str, Any]
    if loop == "closed":
        arrivals = {"kind": "concurrency", "streams": int(load)}
        warmup = int(load)
    else:
        given = document.get("arrivals", {})
        spacing = given.get("spacing", "poisson") if kind in ("steps", "ramp") else kind
        arrivals = {"kind": spacing, "rate": load, "max_in_flight": given.get("max_in_flight")}
        if kind == "gamma":
            arrivals["shape"] = given["shape"]
        warmup = max(1, round(load * WARMUP_S))
    kept: dict[str, Any] = {name: document[name] for name in ("name", "prompts", "temperature", "extra_body") if name in document}
    changed: dict[str, Any] = {
        **kept,
        "model": document.get("model") or "mock",
        "arrivals": arrivals,
        "warmup": {"requests": warmup},
        "stop": {"duration_s": duration_s},
        "cache": {"reset": "off"},
        "timeout_s": 60.0,
    }
    return Level(f"{loop}-{load:g}", loop, load, share, Workload.model_validate(changed))


def verdict(points: list[CalibrationPoint] | tuple[CalibrationPoint, ...]) -> Verdict:
    """The highest loads up to which every point is resolved."""
    streams, rate = _highest(points, "closed"), _highest(points, "open")
    silent = tuple(point.name for point in points if point.valid and point.faults and not point.reference_late)
    parts = [
        f"{'up to ' + format(found, 'g') if found is not None else 'no tried number of'} {unit}"
        for loop, unit, found in (("closed", "streams", streams), ("open", "requests/s", rate))
        if any(point.loop == loop for point in points)
    ]
    words = "resolves ttft within 1 ms on average, 5 ms at p99 and 5 %, and tpot within 1 %, at " + " and ".join(parts)
    if silent:
        words += f"; passed as valid though not resolved: {', '.join(silent)}"
    return Verdict(streams=streams, requests_per_s=rate, silent=silent, words=words)


def _highest(points: list[CalibrationPoint] | tuple[CalibrationPoint, ...], loop: Loop) -> float | None:
    found = None
    for point in sorted((point for point in points if point.loop == loop), key=lambda point: point.load):
        if point.faults:
            break
        found = point.load
    return found
