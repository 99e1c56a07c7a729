"""What a verification found (models)."""

from stack.evidence.record import Frozen
from stack.proposal.dossier import DOSSIER, PAGE

SIGNATURE, HASHES, RECORDS, FIGURES, CONTENT, DRAWN = (
    "Signature of the manifest",
    "Hashes of all files",
    "Signatures of the records",
    "Figures worked out again",
    f"{DOSSIER} built again",
    f"{PAGE} drawn again",
)
CHECKS = (SIGNATURE, HASHES, RECORDS, FIGURES, CONTENT, DRAWN)


class Check(Frozen):
    """One kind of check: how many things were looked at, and each fault beginning with the file at fault."""

    name: str
    checked: int = 0
    failures: tuple[str, ...] = ()
    note: str = ""
    reached: bool = True

    @property
    def ok(self) -> bool:
        return self.reached and not self.failures

    @property
    def result(self) -> str:
        """In a few words."""
        if not self.reached:
            return "not reached"
        if self.failures:
            return f"failed ({len(self.failures)})"
        return "holds" if self.checked else "not compared" if self.note else "nothing to check"


class VerificationReport(Frozen):
    """What was checked, in order; a check that an earlier fault made meaningless is not reached."""

    dossier: str
    key_id: str | None
    key_pinned: bool
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    @property
    def failures(self) -> tuple[str, ...]:
        return tuple(failure for check in self.checks for failure in check.failures)
