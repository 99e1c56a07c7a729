"""A small real dossier: signed records of a kind of our own, whose figures come out of a CSV of samples."""

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stack.evidence import ArtifactSource, EvidenceStore, Figure, FigureClass, Recompute, RecordDraft, SigningKey, StoredRecord
from stack.proposal import VerificationReport, build_dossier, verify_dossier

PROPOSAL = """\
title: A proposal for tests
target_markets: [Kenya]
compliance: We comply, we say.
claims:
  - {id: fast, statement: Half of the answers come within 20 ms, figure: synthetic/latency_ms.p50, op: "<=", value: 20, unit: ms}
  - {id: faster, statement: Half of the answers come within 5 ms, figure: synthetic/latency_ms.p50, op: "<=", value: 5, unit: ms}
  - {id: strong, statement: The maker says it is strong, figure: synthetic/peak_tflops, op: ">=", value: 1, unit: Tflop/s}
limits: [Two samples are few.]
"""


def figures(samples: bytes) -> list[Figure]:
    values = [float(line) for line in samples.decode().split()]
    return [
        Figure(name="latency_ms.p50", value=median(values), unit="ms", kind=FigureClass.MEASURED, derived_from=("samples.csv",)),
        Figure(name="requests", value=len(values), kind=FigureClass.MEASURED, derived_from=("samples.csv",)),
    ]


def recompute(stored: StoredRecord) -> list[Figure]:
    return figures(stored.artifact_path("samples.csv").read_bytes())


def recompute_synthetic(kind: str) -> Recompute | None:
    return recompute if kind == "synthetic" else None


@dataclass(frozen=True)
class Made:
    """The folders and the key of one dossier, and how to build and verify it."""

    evidence: Path
    proposal: Path
    out: Path
    key: SigningKey

    @property
    def store(self) -> EvidenceStore:
        return EvidenceStore(self.evidence, key=lambda: self.key)

    def build(self, out: Path | None = None) -> Path:
        target = out or self.out
        build_dossier(self.evidence, self.proposal, target, key=lambda: self.key)
        return target

    def verify(self, key_id: str | None = None) -> VerificationReport:
        return verify_dossier(self.out, key_id, recomputer=recompute_synthetic)


def make(root: Path) -> Made:
    key = SigningKey(Ed25519PrivateKey.generate())
    made = Made(evidence=root / "evidence", proposal=root / "proposal.yaml", out=root / "dossier", key=key)
    made.proposal.write_text(PROPOSAL)
    samples = b"12.5\n14.25\n10\n"
    peak = Figure(name="peak_tflops", value=2.5, unit="Tflop/s", kind=FigureClass.PUBLISHED, source="a data sheet")
    power = Figure(name="power_w", value=None, unit="W", kind=FigureClass.MEASURED, note="no sensor")
    draft = RecordDraft(kind="synthetic", title="A run <b>of</b> tests", figures=(*figures(samples), peak, power))
    made.store.write(draft, [ArtifactSource("samples.csv", samples, role="samples", media_type="text/csv")])
    made.store.write(RecordDraft(kind="labeling", title="Labels"))
    made.build()
    return made
