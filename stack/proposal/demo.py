"""The main job: the whole stack on one machine, measured, proved and told in a signed dossier (edge).

A fresh folder per run (`runs/<time>`) holds evidence, data sets, samples and logs, so a run that is cut
short leaves what it had; the dossier beside it is replaced only by a finished one.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from bench import load_workload
from bench.evidence import draft as bench_evidence
from bench.run import RunOptions, Watching, run_workload
from bench.workload.models import Stop
from stack.apps import evaluate_app
from stack.apps.evidence import draft as app_evidence
from stack.evidence import ArtifactSource, EvidenceStore, RecordDraft
from stack.hardware_profiles import collect_inventory
from stack.hardware_profiles.evidence import draft as inventory_evidence
from stack.pipelines import ChatEndpoint, labeling_evidence, load_pipeline, open_executor, run_pipeline
from stack.proposal.build import build_dossier
from stack.proposal.demo_evidence import demo_evidence
from stack.proposal.dossier import Dossier
from stack.proposal.report import VerificationReport
from stack.proposal.verify import verify_dossier
from stack.runtime.memory import PeakMemory
from stack.runtime.progress import Reporter
from stack.security import AuditContext, run_audit
from stack.security.evidence import draft as audit_evidence
from stack.serving import CI_MODEL
from stack.serving.chat import read_key
from stack.serving.deployment import DeployedModel
from stack.serving.evidence import model_evidence, serving_evidence
from stack.serving.session import Session, serve_session

QUICK_RECORDS, QUICK_QUESTIONS = 24, 8
QUICK_STOP = Stop(requests=8)
WORKLOADS = ("chat-closed", "chat-open")
PIPELINE = "nusax-sentiment"
APP = "transit"
PROPOSAL = Path(str(files("stack.proposal") / "templates" / "demo.yaml"))


@dataclass(frozen=True)
class DemoOutcome:
    """Where the results lie and whether they verify."""

    run_dir: Path
    dossier_dir: Path
    dossier: Dossier
    verification: VerificationReport
    seconds: float
    peak_memory_bytes: int | None


@dataclass
class _Run:
    """One run of the demo: its folder, its evidence, and how long each step took."""

    folder: Path
    reporter: Reporter
    quick: bool
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def store(self) -> EvidenceStore:
        return EvidenceStore(self.folder / "evidence")

    def keep(self, evidence: tuple[RecordDraft, list[ArtifactSource]]) -> None:
        self.store.write(*evidence)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 3)


def run_demo(out: Path, *, model: str = CI_MODEL, quick: bool = False, reporter: Reporter) -> DemoOutcome:
    """Inventory, model, engine and gateway, benchmarks, labeling, app, audit; then the dossier, and its verification.

    `quick` does the same on a fraction of the requests, records and questions: it shows that all works, not how well.
    Errors of the layers pass through (StackproofError, one line); what was written before stays in `out`/runs.
    """
    started = time.monotonic()
    run = _Run(folder=out.resolve() / "runs" / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"), reporter=reporter, quick=quick)
    with PeakMemory() as memory:
        with run.timed("inventory"):
            run.keep(inventory_evidence(collect_inventory(), identifiers=False))
        before = time.monotonic()
        # Compiling takes a machine's first run a minute or more: a demonstration on two cores is not worth that.
        with serve_session(DeployedModel(model=model, enforce_eager=True), run_dir=run.folder / "serving", reporter=reporter) as session:
            run.seconds["model_and_engine"] = round(time.monotonic() - before, 3)
            _use(session, run)
    run.keep(demo_evidence(run.seconds, wall_s=time.monotonic() - started, peak_bytes=memory.peak_bytes))
    dossier_dir = out.resolve() / "dossier"
    dossier = build_dossier(run.folder / "evidence", PROPOSAL, dossier_dir, reporter=reporter)
    verification = verify_dossier(dossier_dir, reporter=reporter)
    return DemoOutcome(run.folder, dossier_dir, dossier, verification, time.monotonic() - started, memory.peak_bytes)


def _use(session: Session, run: _Run) -> None:
    """Everything that needs the served model. One thing at a time: each is measured on an otherwise quiet machine."""
    for evidence in (model_evidence(session.catalog, session.manifest), serving_evidence(session)):
        run.keep(evidence)
    key = read_key(session.api_key_file)
    for name in WORKLOADS:
        with run.timed(name.replace("-", "_")):
            _benchmark(name, session, key, run)
    with run.timed("labeling"):
        _label(session, run)
    with run.timed("app"):
        _evaluate(session, key, run)
    with run.timed("audit"):
        run.keep(audit_evidence(run_audit(AuditContext.of_endpoint(session), run.reporter)))


def _benchmark(name: str, session: Session, key: str | None, run: _Run) -> None:
    workload = load_workload(name, model=session.model)
    if run.quick:
        workload = workload.model_copy(update={"name": f"{name}-quick", "stop": QUICK_STOP})
    folder = run.folder / "bench" / name
    # The gateway does not let the engine's metrics through.
    options = RunOptions(watching=Watching(metrics_url=f"{session.engine_url}/metrics"))
    summary = run_workload(workload, url=session.gateway_url, api_key=key, out=folder, reporter=run.reporter, options=options)
    if summary.state == "interrupted":
        # The client turns Ctrl-C into a run that ends early; for us it ends the whole job.
        raise KeyboardInterrupt
    run.keep(bench_evidence(summary, folder))


def _label(session: Session, run: _Run) -> None:
    endpoint = ChatEndpoint(url=session.gateway_url, model=session.model, api_key_file=session.api_key_file)
    folder = run.folder / "labeling"
    with open_executor("ray", logs=run.folder / "ray") as executor:
        labeled = run_pipeline(
            load_pipeline(PIPELINE), folder, executor=executor, endpoint=endpoint, limit=QUICK_RECORDS if run.quick else None, reporter=run.reporter
        )
    run.keep(labeling_evidence(labeled))


def _evaluate(session: Session, key: str | None, run: _Run) -> None:
    limit = QUICK_QUESTIONS if run.quick else None
    questions = evaluate_app(APP, url=session.gateway_url, api_key=key, model=session.model, out=run.folder / "app", limit=limit, reporter=run.reporter)
    run.keep(app_evidence(asyncio.run(questions)))
