"""Layer (i)(D): a catalog of controls and the checks that prove them on a running stack.

In: what to audit (a host, model files, an engine and a gateway that run now). Out: an `AuditReport` with
one result per control and the evidence record made of it. A control whose check could not be carried
out reads `unknown`, never `pass`. It must never change what it audits, send a key anywhere but to the
endpoint it belongs to, or show a secret that it finds.
"""

from stack.security.audit import run_audit
from stack.security.context import AuditContext
from stack.security.controls import Control, Target, load_controls
from stack.security.errors import AuditFailedError, SecurityError
from stack.security.report import AuditReport, ControlResult, Finding, Status

__all__ = [
    "AuditContext",
    "AuditFailedError",
    "AuditReport",
    "Control",
    "ControlResult",
    "Finding",
    "SecurityError",
    "Status",
    "Target",
    "load_controls",
    "run_audit",
]
