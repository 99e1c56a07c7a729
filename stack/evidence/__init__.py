"""The evidence kernel: every layer's job ends by writing one signed, content-addressed record.

In: a draft (kind, command, configuration, figures, results, artifacts). Out: an in-toto Statement in a
DSSE envelope signed with Ed25519, and its artifacts by SHA-256, in one folder that `EvidenceStore`
writes and reads. It never interprets a figure: layers own the meaning, this package owns the proof.
"""

from collections.abc import Callable

from stack.evidence.dsse import Envelope, canonical_json
from stack.evidence.errors import EvidenceError
from stack.evidence.keys import PublicKey, SigningKey, load_or_create_key
from stack.evidence.record import Artifact, Figure, FigureClass, Record, RecordDraft
from stack.evidence.store import ArtifactSource, EvidenceStore, StoredRecord

Recompute = Callable[[StoredRecord], list[Figure]]
"""Works a record's `derived_from` figures out again from its artifacts; each layer offers one per kind it writes."""

__all__ = [
    "Artifact",
    "ArtifactSource",
    "Envelope",
    "EvidenceError",
    "EvidenceStore",
    "Figure",
    "FigureClass",
    "PublicKey",
    "Recompute",
    "Record",
    "RecordDraft",
    "SigningKey",
    "StoredRecord",
    "canonical_json",
    "load_or_create_key",
]
