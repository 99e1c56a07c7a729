"""Each gateway control passes on a sound gateway and turns red when the one thing it speaks of is broken."""

import io
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from certificates import Authority

from stack.runtime.progress import Reporter
from stack.security import AuditContext, Status, Target, run_audit

Audited = Callable[..., AuditContext]
FAULTS = {
    "no key": {"SP-GW-01", "SP-GW-02"},
    "prefix of a key": {"SP-GW-02"},
    "routes": {"SP-GW-03", "SP-GW-04"},
    "paths": {"SP-GW-04"},
    "framing": {"SP-GW-05"},
    "fields": {"SP-GW-06"},
    "body size": {"SP-GW-07"},
    "leak": {"SP-GW-08"},
    "prompt in log": {"SP-GW-09"},
    "no log": {"SP-GW-09"},
    "plain keys": {"SP-GW-09", "SP-GW-10"},
    "readable key": {"SP-GW-10"},
}


def statuses(context: AuditContext, *targets: Target) -> dict[str, Status]:
    report = run_audit(context, Reporter(io.StringIO()), targets=targets)
    return {result.control: result.status for result in report.results}


def test_a_sound_gateway_passes_every_control(behind_gateway: Audited) -> None:
    report = run_audit(behind_gateway(""), Reporter(io.StringIO()), targets=[Target.GATEWAY])
    assert [(result.control, result.observed, result.detail) for result in report.results if result.status is not Status.PASS] == []


@pytest.mark.slow
def test_a_gateway_that_speaks_tls_is_audited_by_the_authority_that_is_trusted(behind_gateway: Audited, tmp_path: Path) -> None:
    authority, other = Authority.make(tmp_path, "site"), Authority.make(tmp_path, "other")
    context = behind_gateway("", authority.serving(tmp_path))
    assert set(statuses(replace(context, ca_file=authority.pem), Target.GATEWAY).values()) == {Status.PASS}
    for ca_file in (other.pem, None):
        report = run_audit(replace(context, ca_file=ca_file), Reporter(io.StringIO()), targets=[Target.GATEWAY])
        assert Status.PASS not in {result.status for result in report.results if result.control != "SP-GW-10"}  # that one looks at files alone
        assert any("certificate not trusted" in (result.detail) for result in report.results)


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_turns_exactly_its_controls_red(fault: str, behind_gateway: Audited) -> None:
    found = statuses(behind_gateway(fault), Target.GATEWAY)
    assert {control for control, status in found.items() if status is Status.FAIL} == FAULTS[fault]


class Echo(BaseHTTPRequestHandler):
    """Answers everything with 200 and what it was sent: no key, no list, no limit, no log."""

    server_version = "uvicorn"

    def do_GET(self) -> None:
        content = f"{self.headers}".encode() + self.rfile.read(int(self.headers.get("content-length") or 0) if self.command == "POST" else 0)
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


def test_an_echo_server_in_place_of_the_gateway_turns_all_of_them_red(behind_gateway: Audited) -> None:
    sound = behind_gateway("plain keys")
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        context = AuditContext(catalog=sound.catalog, gateway_url=url, api_key_file=sound.api_key_file, run_dir=sound.run_dir)
        found = statuses(context, Target.GATEWAY)
        server.shutdown()
    assert set(found.values()) == {Status.FAIL}


def test_a_gateway_that_serves_nobody_proves_nothing(behind_gateway: Audited) -> None:
    """A dead server refuses everything: that must not read as a pass."""
    context = behind_gateway("")
    assert context.api_key_file is not None
    context.api_key_file.write_text("sp-somebody-else")
    found = statuses(context, Target.GATEWAY)
    assert set(found.values()) == {Status.UNKNOWN}


def test_a_server_that_is_not_there_reads_unknown(context: AuditContext, behind_gateway: Audited) -> None:
    gone = AuditContext(catalog=context.catalog, gateway_url="http://127.0.0.1:1", api_key_file=behind_gateway("").api_key_file)
    report = run_audit(gone, Reporter(io.StringIO()), targets=[Target.GATEWAY])
    assert {result.status for result in report.results} == {Status.UNKNOWN}
    assert "does not answer" in report.results[0].detail


@pytest.mark.parametrize("content", ["", "two\r\nlines", "sp-ключ"])
def test_a_file_that_holds_no_key_leaves_the_controls_unchecked(content: str, behind_gateway: Audited) -> None:
    context = behind_gateway("")
    assert context.api_key_file is not None
    context.api_key_file.write_text(content)
    assert set(statuses(context, Target.GATEWAY).values()) == {Status.UNKNOWN}


def test_the_report_holds_no_key(behind_gateway: Audited) -> None:
    context = behind_gateway("no key")
    assert context.api_key() not in run_audit(context, Reporter(io.StringIO()), targets=[Target.GATEWAY]).model_dump_json()
