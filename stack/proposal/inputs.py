"""The two documents a dossier is made from beside the records, kept with the bytes they were read from (edge)."""

from dataclasses import dataclass
from pathlib import Path

from stack.proposal.document import Proposal
from stack.proposal.errors import ProposalError
from stack.proposal.profile import DEFAULT_PROFILE, CallProfile
from stack.runtime.yaml_input import parse_yaml, read_bounded


@dataclass(frozen=True)
class Inputs:
    """The dossier carries both documents byte for byte, so that it can be built again from itself."""

    proposal: Proposal
    proposal_bytes: bytes
    profile: CallProfile
    profile_bytes: bytes


def load_inputs(proposal: Path, profile: Path = DEFAULT_PROFILE) -> Inputs:
    """ProposalError in one line when either file does not hold."""
    proposal_bytes, profile_bytes = read_bounded(proposal, error=ProposalError), read_bounded(profile, error=ProposalError)
    return Inputs(
        proposal=parse_yaml(proposal_bytes, Proposal, source=proposal.name, error=ProposalError),
        proposal_bytes=proposal_bytes,
        profile=parse_yaml(profile_bytes, CallProfile, source=profile.name, error=ProposalError),
        profile_bytes=profile_bytes,
    )
