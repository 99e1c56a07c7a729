"""Which layer works the figures of a record kind out again (lookup; nothing heavy is imported before it is needed)."""

import importlib
from typing import cast

from stack.evidence import Recompute

MODULES = {
    "inventory": "stack.hardware_profiles.evidence",
    "cluster-inventory": "stack.hardware_profiles.cluster.evidence",
    "profile": "stack.hardware_profiles.profile.evidence",
    "model": "stack.serving.evidence",
    "serving": "stack.serving.evidence",
    "bench": "bench.evidence",
    "bench-audit": "bench.audits.evidence",
    "users": "bench.users.evidence",
    "capacity": "bench.capacity.evidence",
    "calibration": "bench.calibration.evidence",
    "labeling": "stack.pipelines.evidence",
    "app": "stack.apps.evidence",
    "audit": "stack.security.evidence",
    "demo": "stack.proposal.demo_evidence",
}
"""Record kind -> module with a function `recompute`."""


def recompute_for(kind: str) -> Recompute | None:
    """The kind's `recompute`, None when the kind has none. The kind of a stranger's record never reaches the import system."""
    module = MODULES.get(kind)
    return cast(Recompute, importlib.import_module(module).recompute) if module else None
