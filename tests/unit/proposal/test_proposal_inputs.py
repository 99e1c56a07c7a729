"""Proposal and profile files: a fault is one line that names the file, the place and the mend."""

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.proposal import ProposalError
from stack.proposal.document import Proposal, Statement
from stack.proposal.inputs import load_inputs
from stack.proposal.page import TEMPLATES
from stack.proposal.profile import CallProfile
from stack.proposal.recompute import MODULES
from stack.runtime.yaml_input import MAX_BYTES, parse_yaml

CLAIM = "{id: a, statement: S, figure: bench/x, op: '<=', value: 1}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "field `(document)`"),
        ("[]", "field `(document)`"),
        ("title: T\nconsortuim: x\n", "field `consortuim`"),
        ("title: ''\n", "field `title`"),
        ("title: T\noperating_model: {build: A, own: B}\n", "field `operating_model.operate`"),
        ("title: T\nincentives: a loan\n", "field `incentives`"),
        (f"title: T\nclaims: [{CLAIM}, {CLAIM}]\n", "claim ids repeat: ['a']"),
        ("title: T\nclaims: [{id: a, statement: S, figure: bench/x, op: '<=', value: .inf}]\n", "must be finite"),
        ("title: T\ntitle: U\n", "a key is given twice"),
        ("title: &a T\ncompliance: *a\n", "line 2: aliases are not accepted"),
        ("title: [T\n", "line 2:"),
        ("title: !!python/object/apply:os.system [id]\n", "line 1: could not determine a constructor"),
        ("title: \x07\n", "not YAML"),
        ("title: 2026-99-99\n", "not readable as YAML"),
        ("title: " + "9" * 5000, "not readable as YAML"),
        ("[" * 5000, "nested too deeply"),
        ("? {a: b}\n: c\n", "line 1: found unhashable key"),
        ("title: T\n---\ntitle: U\n", "line 2: but found another document"),
    ],
)
def test_a_proposal_that_does_not_hold_is_told_in_one_line(text: str, expected: str) -> None:
    with pytest.raises(ProposalError) as caught:
        parse_yaml(text.encode(), Proposal, source="proposal.yaml", error=ProposalError)
    assert str(caught.value).startswith("proposal.yaml: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_and_files_too_large_are_refused() -> None:
    with pytest.raises(ProposalError, match=r"not UTF-8 text \(byte 7\)"):
        parse_yaml(b"title: \xff", Proposal, source="p", error=ProposalError)
    with pytest.raises(ProposalError, match="larger than 1 MiB"):
        parse_yaml(b" " * (MAX_BYTES + 1), Proposal, source="p", error=ProposalError)


@given(st.binary(max_size=200) | st.text(alphabet="ab:-[]{}&*!?|>'\"#%@`\n \t,0.", max_size=60).map(str.encode))
def test_whatever_the_bytes_the_answer_is_a_proposal_or_one_line(data: bytes) -> None:
    try:
        parse_yaml(data, Proposal, source="p", error=ProposalError)
    except ProposalError as error:
        assert "\n" not in str(error)  # noqa: PT017 - only one of the two may happen


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProposalError, match=r"absent\.yaml: cannot be read: No such file"):
        load_inputs(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("parts: [{asks: A}]", "give either `evidence` or `statement`"),
        ("parts: [{asks: A, evidence: [bench], statement: compliance}]", "give either `evidence` or `statement`"),
        ("parts: [{asks: A, statement: weather}]", "field `items.0.parts.0.statement`"),
        ("parts: []", "field `items.0.parts`"),
    ],
)
def test_a_profile_that_does_not_hold_is_told_in_one_line(item: str, expected: str) -> None:
    text = f"""
id: p
version: 1
title: P
sources: {{s: {{title: S, url: "https://example.org/", published: 2026-01-01, confidence: primary}}}}
items: [{{id: x, title: X, asks: A, mandatory: true, source: s, {item}}}]
"""
    with pytest.raises(ProposalError) as caught:
        parse_yaml(text.encode(), CallProfile, source="profile.yaml", error=ProposalError)
    assert expected in str(caught.value)


def test_an_item_whose_source_is_not_listed_is_refused() -> None:
    text = "{id: p, version: 1, title: P, sources: {}, items: [{id: x, title: X, asks: A, mandatory: true, source: s, parts: [{asks: A, evidence: [app]}]}]}"
    with pytest.raises(ProposalError, match="source 's' is not among `sources`"):
        parse_yaml(text.encode(), CallProfile, source="profile.yaml", error=ProposalError)


def test_the_proposal_of_the_demo_makes_claims_and_leaves_the_statements_of_a_consortium_out() -> None:
    proposal = load_inputs(TEMPLATES / "demo.yaml").proposal
    assert {claim.figure.partition("/")[0] for claim in proposal.claims} <= MODULES.keys()
    assert proposal.consortium is None
    assert not any(proposal.statement(field) for field in get_args(Statement))
