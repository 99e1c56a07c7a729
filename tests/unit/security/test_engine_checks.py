"""Each engine control turns red on a process that is started wrongly, and stays green on one that is not."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from stack.runtime.net import free_port
from stack.security import AuditContext, Status
from stack.security.checks import engine
from stack.security.errors import CannotCheckError
from stack.security.floors import below, load_floors

SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        known = self.headers.get("authorization") == "Bearer " + os.environ.get("VLLM_API_KEY", "") or "VLLM_API_KEY" not in os.environ
        body = ('{"version": "%s"}' % os.environ["TOLD"]).encode()
        self.send_response(200 if known or self.path == "/version" else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("ready", flush=True)
server.serve_forever()
"""
SOUND = {"VLLM_API_KEY": "engine-key-of-the-test", "TOLD": "0.32.0", **engine.OFFLINE}
Started = Callable[..., AuditContext]


@pytest.fixture
def started(context: AuditContext) -> Iterator[Started]:
    """Starts a process that stands for the engine, with extra arguments and a changed environment."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **changed: str | None) -> AuditContext:
        port = free_port()
        variables = {name: value for name, value in {**SOUND, **changed}.items() if value is not None}
        env = {"PATH": os.environ["PATH"], **variables}
        process = subprocess.Popen([sys.executable, "-I", "-c", SERVER, str(port), *arguments], env=env, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return replace(context, engine_url=f"http://127.0.0.1:{port}")

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_a_sound_engine_passes(started: Started) -> None:
    context = started()
    for check in (engine.own_key_required, engine.engine_on_loopback, engine.nothing_opened, engine.kept_offline, engine.no_secret_in_arguments):
        finding = check(context)
        assert finding.status is Status.PASS, (check.__name__, finding)


def test_an_engine_without_a_key_fails(started: Started) -> None:
    finding = engine.own_key_required(started(VLLM_API_KEY=None))
    assert finding.status is Status.FAIL
    assert "GET /v1/models without a key is answered 200" in finding.observed


def test_an_engine_that_takes_the_clients_key_fails(started: Started, tmp_path: Path) -> None:
    key = tmp_path / "api.key"
    key.write_text(SOUND["VLLM_API_KEY"])
    finding = engine.own_key_required(replace(started(), gateway_url="http://127.0.0.1:1", api_key_file=key))
    assert "with the client's key is answered 200" in finding.observed


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [(["--trust-remote-code"], {}), ([], {"VLLM_SERVER_DEV_MODE": "1"}), ([], {"PYTHONOPTIMIZE": "1"}), (["--enable-lora=true"], {})],
)
def test_a_dangerous_mode_fails(arguments: list[str], variables: dict[str, str], started: Started) -> None:
    assert engine.nothing_opened(started(*arguments, **variables)).status is Status.FAIL


def test_a_switch_that_turns_remote_code_off_is_no_fault(started: Started) -> None:
    assert engine.nothing_opened(started("--no-trust-remote-code", VLLM_SERVER_DEV_MODE="0")).status is Status.PASS


def test_an_engine_that_may_fetch_fails(started: Started) -> None:
    finding = engine.kept_offline(started(HF_HUB_OFFLINE=None))
    assert finding.status is Status.FAIL
    assert "lacks HF_HUB_OFFLINE=1" in finding.observed


def test_a_key_among_the_arguments_fails_and_is_not_shown(started: Started, tmp_path: Path) -> None:
    (tmp_path / "api.key").write_text("a-secret-of-the-test\n")
    context = replace(started("--header", "Bearer a-secret-of-the-test"), run_dir=tmp_path)
    finding = engine.no_secret_in_arguments(context)
    assert finding.status is Status.FAIL
    assert "a-secret-of-the-test" not in finding.model_dump_json()


@pytest.mark.parametrize("option", ["--api-key", "--api-key=x", "--hf-token"])
def test_an_option_for_a_key_fails(option: str, started: Started) -> None:
    assert engine.no_secret_in_arguments(started(option, "x")).status is Status.FAIL


def test_an_old_engine_fails_and_names_the_advisories(started: Started) -> None:
    finding = engine.versions_at_floor(started(TOLD="0.31.1"))
    assert finding.status is Status.FAIL
    assert "vllm 0.31.1 is below 0.32.0 (CVE-" in finding.observed


def test_an_engine_with_a_version_nobody_understands_is_unknown(started: Started) -> None:
    with pytest.raises(CannotCheckError, match="dev-build"):
        engine.versions_at_floor(started(TOLD="dev-build"))


def test_a_table_that_nobody_reviewed_for_long_proves_nothing(started: Started) -> None:
    table = load_floors()
    context = started()
    assert engine.versions_at_floor(replace(context, today=table.reviewed)).status is Status.PASS
    late = replace(context, today=table.reviewed + timedelta(days=table.max_age_days + 1))
    finding = engine.versions_at_floor(late)
    assert finding.status is Status.UNKNOWN
    assert "stale" in finding.observed


def test_an_engine_that_is_not_there_cannot_be_looked_into(context: AuditContext) -> None:
    with pytest.raises(CannotCheckError, match="nothing on this machine listens on port"):
        engine.kept_offline(replace(context, engine_url=f"http://127.0.0.1:{free_port()}"))


def test_a_process_here_is_not_taken_for_an_engine_elsewhere_on_the_same_port(started: Started) -> None:
    url = started().engine_url
    assert url is not None
    elsewhere = replace(started(), engine_url=url.replace("127.0.0.1", "192.0.2.1"))
    with pytest.raises(CannotCheckError, match="may be another machine"):
        engine.kept_offline(elsewhere)


@pytest.mark.parametrize(
    ("found", "floor", "expected"),
    [("0.32.0", "0.32.0", False), ("0.31.9", "0.32.0", True), ("0.32.0rc1", "0.32.0", True), ("2.13.0+cpu", "2.13.0", False), ("0.100.0", "0.32.0", False)],
)
def test_versions_compare_as_versions(found: str, floor: str, expected: bool) -> None:
    assert below(found, floor) is expected
