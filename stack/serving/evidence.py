"""What serving leaves as evidence: a `model` record and a `serving` record.

Figures that follow from a plan and a catalog entry are computed by the functions that planned, and
`recompute` works them out again from the stored artifacts alone.
"""

import re
from pathlib import Path

import yaml

from stack.evidence import ArtifactSource, Figure, FigureClass, RecordDraft, StoredRecord
from stack.serving.models import CatalogModel
from stack.serving.plan import EnginePlan, plan_memory
from stack.serving.session import Session
from stack.serving.vllm_process import engine_version
from stack.serving.weights import Manifest

MODEL_KIND, SERVING_KIND = "model", "serving"
MODEL_FILE, MANIFEST_FILE, PLAN_FILE = "model.json", "manifest.json", "plan.json"
JSON, YAML = "application/json", "application/yaml"
# "CPU KV cache size: 46,592 tokens" (GPU KV cache size on CUDA)
KV_SIZE = re.compile(r"KV cache size: ([\d,]+) tokens")


def model_evidence(model: CatalogModel, manifest: Manifest) -> tuple[RecordDraft, list[ArtifactSource]]:
    """What a model is by its publisher's word, and what its files on this machine are by their hashes."""
    facts = [
        _published("model.publisher", model.publisher.name, model, group="publisher"),
        _published("model.publisher_country", model.publisher.country, model, group="publisher", source=model.publisher.country_source),
        _published("model.licence", model.licence.spdx, model, group="licence"),
        _published("model.parameters.total", model.parameters.total, model, group="parameters"),
        _published("model.parameters.active", model.parameters.active, model, group="parameters"),
        _published("model.context_tokens", model.architecture.context_tokens, model, group="context"),
        Figure(name="model.source.sha256", value=manifest.source_sha256, kind=FigureClass.MEASURED, note=f"of {manifest.source or 'the source file'}"),
    ]
    draft = RecordDraft(
        kind=MODEL_KIND,
        title=f"Model {model.title}",
        config={"model": model.name, "tools": manifest.tools},
        figures=(*facts, *_manifest_figures(manifest)),
        results={"model": model.model_dump(mode="json"), "files": manifest.model_dump(mode="json")["files"]},
    )
    return draft, [_json(MODEL_FILE, model.model_dump_json(indent=2), "config"), _json(MANIFEST_FILE, manifest.model_dump_json(indent=2), "manifest")]


def serving_evidence(session: Session) -> tuple[RecordDraft, list[ArtifactSource]]:
    """How a model is served here: the plan and its arithmetic, the gateway's configuration, readiness and memory as measured now."""
    plan, memory = session.plan, session.memory_bytes()
    figures = [
        _measured("serving.engine_ready_s", round(session.engine_ready_s, 3), "s", "start of the engine to its first completion"),
        _measured("serving.ready_s", round(session.ready_s, 3), "s", "start of the engine to the first completion through the public address"),
        *(_measured(f"serving.memory.{name.replace(' ', '_')}_bytes", size, "By", "PSS of the process tree") for name, size in memory.items()),
        _measured("serving.memory.total_bytes", sum(memory.values()), "By", "PSS of all parts"),
        _kv_tokens(session.run_dir / "engine.log"),
        *_plan_figures(plan, session.catalog),
    ]
    draft = RecordDraft(
        kind=SERVING_KIND,
        title=f"{session.catalog.title} on {plan.device_name}",
        config={"engine": engine_version(), "arguments": list(plan.vllm_arguments()), "environment": plan.environment(), "gateway": session.policy is not None},
        figures=tuple(figures),
        results={"plan": plan.model_dump(mode="json"), "policy": session.policy.model_dump(mode="json") if session.policy else None},
    )
    artifacts = [_json(PLAN_FILE, plan.model_dump_json(indent=2), "config"), _json(MODEL_FILE, session.catalog.model_dump_json(indent=2), "config")]
    if session.policy is not None:
        # The configuration holds no key: the policy service hands the engine's over per request.
        artifacts.append(ArtifactSource(name="envoy.yaml", content=session.run_dir / "envoy.yaml", role="config", media_type=YAML))
        policy = yaml.safe_dump(session.policy.model_dump(mode="json"), sort_keys=False).encode()
        artifacts.append(ArtifactSource(name="policy.yaml", content=policy, role="config", media_type=YAML))
    return draft, artifacts


def recompute(stored: StoredRecord) -> list[Figure]:
    """The `derived_from` figures of a `model` or `serving` record, from its artifacts alone."""
    if stored.record.kind == MODEL_KIND:
        return _manifest_figures(Manifest.model_validate_json(stored.artifact_path(MANIFEST_FILE).read_bytes()))
    plan = EnginePlan.model_validate_json(stored.artifact_path(PLAN_FILE).read_bytes())
    return _plan_figures(plan, CatalogModel.model_validate_json(stored.artifact_path(MODEL_FILE).read_bytes()))


def _manifest_figures(manifest: Manifest) -> list[Figure]:
    return [
        _computed("model.weights_bytes", manifest.weights_bytes, "By", (MANIFEST_FILE,)),
        _computed("model.files", len(manifest.files), "", (MANIFEST_FILE,)),
    ]


def _plan_figures(plan: EnginePlan, model: CatalogModel) -> list[Figure]:
    """The memory arithmetic of one device, from parameters and architecture rather than from the plan's own sums."""
    memory = plan_memory(plan, model)
    weights, per_token = memory.weights_bytes, memory.kv_bytes_per_token
    values = {
        "plan.weights_bytes": (weights, "By"),
        "plan.kv_bytes_per_token": (per_token, "By"),
        "plan.kv_tokens": (memory.kv_tokens, ""),
        "plan.needed_bytes": (memory.needed_bytes, "By"),
        "plan.left_bytes": (memory.left_bytes, "By"),
    }
    return [_computed(name, value, unit, (PLAN_FILE, MODEL_FILE)) for name, (value, unit) in values.items()]


def _kv_tokens(log: Path) -> Figure:
    """The KV cache as the engine itself reports it: the check on the plan's arithmetic."""
    found = KV_SIZE.findall(log.read_text(errors="replace"))
    if not found:
        return Figure(name="serving.kv_tokens", value=None, kind=FigureClass.MEASURED, note="the engine's log does not state it")
    return Figure(name="serving.kv_tokens", value=int(found[-1].replace(",", "")), kind=FigureClass.MEASURED, note="as the engine reports it")


def _published(name: str, value: str | int | None, model: CatalogModel, *, group: str, source: str = "") -> Figure:
    """A fact of the catalog: `published` when its group names a document, else `declared`."""
    ground = model.grounds.get(group)
    kind = FigureClass.PUBLISHED if ground is not None and ground.status == "published" else FigureClass.DECLARED
    note = "" if value is not None else "nothing found that states it"
    return Figure(name=name, value=value, kind=kind, source=source or (ground.source if ground else "the catalog, without a source"), note=note)


def _measured(name: str, value: float, unit: str, note: str) -> Figure:
    return Figure(name=name, value=value, unit=unit, kind=FigureClass.MEASURED, note=note)


def _computed(name: str, value: int, unit: str, sources: tuple[str, ...]) -> Figure:
    return Figure(name=name, value=value, unit=unit, kind=FigureClass.COMPUTED, derived_from=sources)


def _json(name: str, text: str, role: str) -> ArtifactSource:
    return ArtifactSource(name=name, content=text.encode() + b"\n", role=role, media_type=JSON)
