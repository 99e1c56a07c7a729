"""The audit of what this project serves: real engine, real gateway, all their controls hold."""

import io
from pathlib import Path

import pytest

from stack.evidence import EvidenceStore
from stack.runtime.progress import Reporter
from stack.security import AuditContext, AuditReport, Status, Target, run_audit
from stack.security.checks import Check, gateway
from stack.security.evidence import draft, recompute
from stack.serving import Endpoint, find_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(served: Endpoint) -> AuditReport:
    return run_audit(AuditContext.of_endpoint(served), Reporter(io.StringIO()))


@pytest.mark.parametrize("target", [Target.MODELS, Target.ENGINE, Target.GATEWAY])
def test_every_control_holds(target: Target, report: AuditReport) -> None:
    broken = [(result.control, result.status, result.observed, result.detail) for result in report.results if result.target is target]
    assert [each for each in broken if each[1] is not Status.PASS] == []


def test_nothing_of_the_host_is_left_unknown(report: AuditReport) -> None:
    """Whether its controls pass depends on the machine and its user."""
    unknown = [(result.control, result.detail) for result in report.with_status(Status.UNKNOWN) if result.target is Target.HOST]
    assert unknown == []


def test_neither_report_nor_record_holds_a_key(served: Endpoint, report: AuditReport) -> None:
    record, _artifacts = draft(report)
    for key in (served.api_key_file, served.engine_key_file):
        assert key.read_text().strip() not in report.model_dump_json() + record.model_dump_json()


def test_the_record_is_counted_again_from_its_artifact(report: AuditReport, tmp_path: Path) -> None:
    stored = EvidenceStore(tmp_path).write(*draft(report))
    assert tuple(recompute(stored)) == stored.record.figures


@pytest.mark.parametrize("check", [gateway.unlisted_routes_absent, gateway.body_size_limited, gateway.answers_leak_nothing])
def test_the_engine_in_place_of_the_gateway_does_not_pass_for_one(check: Check, served: Endpoint) -> None:
    bare = AuditContext(catalog=find_model(served.model), gateway_url=served.engine_url, api_key_file=served.engine_key_file)
    assert check(bare).status is Status.FAIL
