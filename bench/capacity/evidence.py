"""The evidence record of a sweep, and its recomputation from the samples of its probes."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.capacity.conclude import bracket_of, capacity_of
from bench.capacity.level import ServiceLevel
from bench.capacity.models import CapacityResult, ProbeResult
from bench.capacity.plan import ProbeSpec
from bench.capacity.probes import evaluate
from bench.capacity.run import CURVE_JSON, RESULT
from bench.errors import BenchError
from bench.evidence import figure_name
from bench.results.files import QUALITY, REQUESTS, SYSTEM, TOKENS
from bench.results.samples import read_samples
from stack.evidence import ArtifactSource, EvidenceError, Figure, FigureClass, RecordDraft, StoredRecord

KIND = "capacity"
PARQUET, JSON = "application/vnd.apache.parquet", "application/json"
BESIDE = (SYSTEM, QUALITY)
"""What a probe's validity may rest on beside its samples."""
CURVE = {
    "requests_per_s": "/s",
    "output_tokens_per_s": "tokens/s",
    "tokens_per_s_per_user": "tokens/s",
    "tokens_per_s_per_device": "tokens/s",
    "ttft_ms_p50": "ms",
    "ttft_ms_p99": "ms",
    "tpot_ms_p50": "ms",
    "tpot_ms_p99": "ms",
}
"""What is quoted of a point, with its unit."""


def draft(result: CapacityResult, out: Path) -> tuple[RecordDraft, list[ArtifactSource]]:
    """What `EvidenceStore.write` takes; `out` is the folder of the sweep."""
    record = RecordDraft(
        kind=KIND,
        title=f"Capacity of {result.workload.model} under {result.workload.name or 'workload'}",
        config={
            **result.model_dump(mode="json", include={"workload", "url", "seed", "level", "mode", "precision", "highest", "devices"}),
            "probes": [{"kind": probe.kind, "load": probe.load, "attempt": probe.attempt} for probe in result.probes],
        },
        figures=tuple(figures(result.workload.name, result.probes, mode=result.mode, precision=result.precision, highest=result.highest)),
        results=result.model_dump(mode="json", exclude={"workload", "url", "seed", "tool", "host"}),
    )
    sources = [
        ArtifactSource(f"{probe.name}.{name}", out / probe.name / name, role="samples", media_type=PARQUET)
        for probe in result.probes
        for name in (REQUESTS, TOKENS, *BESIDE)
        if name not in BESIDE or (out / probe.name / name).exists()
    ]
    return record, [*sources, *(ArtifactSource(name, out / name, role="report", media_type=JSON) for name in (RESULT, CURVE_JSON))]


def recompute(stored: StoredRecord) -> list[Figure]:
    """All figures of the record, from its probes' samples: judged, and searched through, once more."""
    config = stored.record.config
    try:
        level = ServiceLevel.model_validate(config["level"]) if config["level"] is not None else None
        probes = [_again(stored, each, level, devices=int(config["devices"])) for each in config["probes"]]
        name = str(config["workload"]["name"])
        return figures(name, probes, mode=str(config["mode"]), precision=float(config["precision"]), highest=float(config["highest"]))
    except (BenchError, ValidationError, KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"{stored.path.relative_to(stored.root)}: {' '.join(str(error).split())}") from None


def figures(workload: str, probes: list[ProbeResult] | tuple[ProbeResult, ...], *, mode: str, precision: float, highest: float) -> list[Figure]:
    """Every figure that may be quoted from a sweep, named `capacity.<workload>.<field>`."""
    prefix = f"capacity.{figure_name(workload or 'workload')}"
    everything = tuple(f"{probe.name}.{name}" for probe in probes for name in (REQUESTS, TOKENS))

    def figure(name: str, value: float | str | bool | None, derived_from: tuple[str, ...] = everything, *, unit: str = "", note: str = "") -> Figure:
        kind = FigureClass.COMPUTED if isinstance(value, str | bool) else FigureClass.MEASURED
        words = note or ("" if value is not None else "unknown")
        return Figure(name=f"{prefix}.{name}", value=value, unit=unit, kind=kind, derived_from=derived_from, note=words)

    found, unit = bracket_of(probes), "/s" if mode == "open" else "streams"
    capacity = capacity_of(probes, precision=precision, highest=highest)
    note = "" if capacity is not None else "not confirmed: the bracket says what is known"
    whole = [
        *([figure("capacity_requests_per_s", capacity, unit="/s", note=note)] if mode == "open" else []),
        figure("bracket.low", found.low, unit=unit),
        figure("bracket.high", found.high, unit=unit),
        figure("bracket.confirmed", found.confirmed),
    ]
    return whole + [each for probe in probes for each in _of_probe(figure, probe)]


def _of_probe(figure: Any, probe: ProbeResult) -> list[Figure]:
    own = (f"{probe.name}.{REQUESTS}", f"{probe.name}.{TOKENS}")
    prefix = figure_name(f"probe.{probe.name}")
    verdict = probe.judgement.outcome if probe.judgement is not None else "valid" if probe.valid else "invalid"
    return [
        figure(f"{prefix}.verdict", verdict, own, note="; ".join(probe.reasons)),
        *(figure(f"{prefix}.{name}", getattr(probe.point, name), own, unit=unit) for name, unit in CURVE.items()),
    ]


def _again(stored: StoredRecord, each: dict[str, Any], level: ServiceLevel | None, *, devices: int) -> ProbeResult:
    """The probe by its own samples: its workload stands in them, and so it cannot be another than it is called."""
    name = f"{each['kind']}-{each['load']:g}"
    beside = [stored.artifact_path(f"{name}.{each}") if stored.record.artifact(f"{name}.{each}") else None for each in BESIDE]
    samples = read_samples(stored.artifact_path(f"{name}.{REQUESTS}"), stored.artifact_path(f"{name}.{TOKENS}"), *beside)
    spec = ProbeSpec(each["kind"], each["load"], samples.run.workload)
    arrivals = samples.run.workload.arrivals
    if getattr(arrivals, "rate" if spec.open_loop else "streams", None) != spec.load:
        raise BenchError(f"{name}: its samples are of another load")
    return evaluate(samples, spec, level=level, devices=devices, attempt=int(each["attempt"]), reused=False)
