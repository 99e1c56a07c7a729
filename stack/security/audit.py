"""Run the checks of the chosen targets and collect what they found."""

import time
from collections.abc import Collection

from stack.runtime.progress import Reporter
from stack.security.checks import CHECKS
from stack.security.context import AuditContext
from stack.security.controls import Control, Target, load_controls
from stack.security.errors import CannotCheckError
from stack.security.report import AuditReport, ControlResult, Finding, Status


def run_audit(context: AuditContext, reporter: Reporter, *, targets: Collection[Target] = tuple(Target)) -> AuditReport:
    """One result per control of `targets`. A control whose check could not be carried out reads unknown, with the reason."""
    controls = [control for control in load_controls() if control.target in targets]
    with reporter.step("Auditing the controls", total=len(controls)) as step:
        results = []
        for control in controls:
            step.note(control.title)
            results.append(_result(control, context))
            step.advance()
    return AuditReport(targets=tuple(target for target in Target if target in targets), subject=context.subject, results=tuple(results))


def _result(control: Control, context: AuditContext) -> ControlResult:
    started = time.monotonic()
    try:
        finding = CHECKS[control.check](context)
    except CannotCheckError as error:
        finding = Finding(status=Status.UNKNOWN, observed="not checked", detail=str(error))
    return ControlResult(
        **finding.model_dump(),
        control=control.id,
        title=control.title,
        target=control.target,
        mappings=control.mappings,
        remediation=control.remediation,
        seconds=round(time.monotonic() - started, 3),
    )
