"""Reads `dossier.json` of a dossier that has not been verified (edge)."""

from pathlib import Path

from pydantic import ValidationError

from stack.proposal.dossier import DOSSIER, Dossier
from stack.proposal.errors import DossierError, ProposalError
from stack.proposal.folder import MAX_DOCUMENT_BYTES
from stack.runtime.errors import describe_validation


def read_dossier(directory: Path) -> Dossier:
    """ProposalError when there is none, DossierError when it cannot be read as one."""
    path = directory / DOSSIER
    if not path.is_file():
        raise ProposalError(f"{path}: missing: {directory} is not a dossier")
    if path.stat().st_size > MAX_DOCUMENT_BYTES:
        raise DossierError(f"{DOSSIER}: larger than {MAX_DOCUMENT_BYTES >> 20} MiB")
    try:
        return Dossier.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise DossierError(describe_validation(error, source=DOSSIER)) from None
