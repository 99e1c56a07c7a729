"""A key and a folder with two signed records, real but small."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stack.evidence import ArtifactSource, EvidenceStore, Figure, FigureClass, RecordDraft, SigningKey


@pytest.fixture
def key() -> SigningKey:
    return SigningKey(Ed25519PrivateKey.generate())


@pytest.fixture
def store(tmp_path: Path, key: SigningKey) -> EvidenceStore:
    store = EvidenceStore(tmp_path / "evidence", key=lambda: key)
    figure = Figure(name="bench.ttft_ms.p50", value=12.5, unit="ms", kind=FigureClass.MEASURED, derived_from=("samples.csv",))
    samples = ArtifactSource(name="samples.csv", content=b"1,2\n3,4\n", role="samples", media_type="text/csv")
    store.write(RecordDraft(kind="bench", title="A run", config={"rate": 3}, figures=(figure,)), [samples])
    store.write(RecordDraft(kind="inventory", title="A machine", results={"cores": 2}))
    return store
