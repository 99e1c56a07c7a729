"""Coverage of a call: what counts, and what is never shown as complete."""

from pathlib import Path

import pytest
from test_claims import record

from stack.proposal.coverage import Status, cover, missing
from stack.proposal.document import OperatingModel, Proposal
from stack.proposal.inputs import load_inputs
from stack.proposal.profile import REQUIREMENTS, CallProfile

SECTIONS = ["3(b)(i)(A)", "3(b)(i)(B)", "3(b)(i)(C)", "3(b)(i)(D)", "3(b)(i)(E)", "3(b)(ii)", "3(b)(iii)", "3(b)(iv)", "3(b)(v)"]
LAYERS = ("inventory", "labeling", "model", "serving", "audit", "app")


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> CallProfile:
    proposal = tmp_path_factory.mktemp("profile") / "proposal.yaml"
    proposal.write_text("title: T\n")
    return load_inputs(proposal).profile


def statuses(profile: CallProfile, proposal: Proposal, *kinds: str) -> dict[str, Status]:
    return {item.id: item.status for item in cover(profile, proposal, [record(kind=kind) for kind in kinds])}


def test_the_profile_lists_every_item_of_section_3b_as_mandatory_and_primary(profile: CallProfile) -> None:
    assert [item.id for item in profile.items] == SECTIONS
    assert all(item.mandatory for item in profile.items)
    assert {profile.sources[item.source].confidence for item in profile.items} == {"primary"}


def test_the_shipped_profiles_are_all_readable(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("title: T\n")
    for path in REQUIREMENTS.glob("*.yaml"):
        assert load_inputs(tmp_path / "p.yaml", path).profile.id == path.stem


def test_with_nothing_at_hand_everything_is_missing(profile: CallProfile) -> None:
    assert set(statuses(profile, Proposal(title="T")).values()) == {Status.MISSING}
    assert len(missing(cover(profile, Proposal(title="T"), []))) == 11


def test_records_cover_their_layers_and_never_the_statements(profile: CallProfile) -> None:
    found = statuses(profile, Proposal(title="T"), *LAYERS)
    assert [found[section] for section in SECTIONS] == [Status.PARTIAL, *[Status.EVIDENCE] * 4, *[Status.MISSING] * 4]


def test_statements_are_declared_and_never_evidence(profile: CallProfile) -> None:
    proposal = Proposal(
        title="T",
        us_manufacture="Assembled in Texas",
        target_markets=("Kenya",),
        operating_model=OperatingModel(build="A", own="B", operate="C"),
        incentives=("Loan guarantee",),
        compliance="We comply",
    )
    found = statuses(profile, proposal)
    assert [found[section] for section in SECTIONS] == [Status.PARTIAL, *[Status.MISSING] * 4, *[Status.DECLARED] * 4]
    assert missing(cover(profile, proposal, [record(kind=kind) for kind in LAYERS])) == ()


def test_half_of_the_serving_layer_is_partial_and_its_lack_is_listed(profile: CallProfile) -> None:
    coverage = cover(profile, Proposal(title="T"), [record(kind="model")])
    assert next(item for item in coverage if item.id == "3(b)(i)(C)").status is Status.PARTIAL
    assert "3(b)(i)(C) The system that serves it" in missing(coverage)


def test_every_record_that_counts_is_named(profile: CallProfile) -> None:
    first, second = record(kind="app", name="a"), record(kind="app", name="b")
    item = next(item for item in cover(profile, Proposal(title="T"), [first, second]) if item.id == "3(b)(i)(E)")
    assert item.parts[0].evidence == (first.id, second.id)
