"""Claims, coverage of a call for proposals, and the dossier that carries both with their evidence.

In: a folder of evidence records, a proposal file (what is stated and claimed), a call profile (what is
asked). Out: a signed folder with `dossier.json` and `index.html`, and a verification of such a folder.
It measures nothing, never shows a missing item as covered or a stated figure as measured, and never
runs or imports anything found in a dossier. Building and verifying need the `core` install only.
"""

from stack.proposal.build import build_dossier
from stack.proposal.dossier import Dossier
from stack.proposal.errors import DossierError, ProposalError
from stack.proposal.report import Check, VerificationReport
from stack.proposal.verify import verify_dossier

__all__ = ["Check", "Dossier", "DossierError", "ProposalError", "VerificationReport", "build_dossier", "verify_dossier"]
