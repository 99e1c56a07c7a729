"""Each host control passes where it should and turns red when what it speaks of is broken."""

import os
import resource
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stack.security import AuditContext, Status
from stack.security.checks import host
from stack.security.errors import CannotCheckError
from stack.security.processes import Socket


def kernel(root: Path, **settings: str) -> Path:
    for name, value in settings.items():
        (root / "proc/sys/kernel").mkdir(parents=True, exist_ok=True)
        (root / "proc/sys/kernel" / name).write_text(f"{value}\n")
    return root


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


def at(context: AuditContext, server: socket.socket) -> AuditContext:
    return replace(context, gateway_url=f"http://127.0.0.1:{server.getsockname()[1]}")


def test_a_key_that_others_can_read_fails(context: AuditContext) -> None:
    assert host.signing_key_private(context).status is Status.PASS
    context.signing_key.chmod(0o640)
    assert host.signing_key_private(context).status is Status.FAIL
    context.signing_key.unlink()
    assert host.signing_key_private(context).status is Status.NOT_APPLICABLE


def test_a_key_that_is_a_link_elsewhere_fails(context: AuditContext, tmp_path: Path) -> None:
    context.signing_key.rename(tmp_path / "elsewhere.pem")
    context.signing_key.symlink_to(tmp_path / "elsewhere.pem")
    assert "not a regular file" in host.signing_key_private(context).observed


@pytest.mark.parametrize(("value", "status"), [("2", Status.PASS), ("1", Status.FAIL), ("0", Status.FAIL)])
def test_only_full_randomisation_passes(value: str, status: Status, context: AuditContext, tmp_path: Path) -> None:
    assert host.address_space_random(replace(context, root=kernel(tmp_path, randomize_va_space=value))).status is status


def test_a_kernel_that_does_not_tell_leaves_the_control_unchecked(context: AuditContext, tmp_path: Path) -> None:
    with pytest.raises(CannotCheckError, match=r"kernel\.randomize_va_space"):
        host.address_space_random(replace(context, root=tmp_path))


def test_core_files_are_judged_by_the_servers_own_limit(context: AuditContext, listener: socket.socket, tmp_path: Path) -> None:
    audited = at(replace(context, root=kernel(tmp_path, core_pattern="core")), listener)
    before = resource.getrlimit(resource.RLIMIT_CORE)
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, before[1]))
        assert host.no_core_dumps(audited).status is Status.PASS
        if before[1] == 0:
            pytest.skip(reason="core files cannot be allowed here to see the check fail")
        resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
        assert host.no_core_dumps(audited).status is Status.FAIL
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


def test_a_pattern_that_keeps_nothing_passes_without_a_server(context: AuditContext, tmp_path: Path) -> None:
    assert host.no_core_dumps(replace(context, root=kernel(tmp_path, core_pattern="|/bin/false"))).status is Status.PASS


def test_root_is_told_from_an_ordinary_user(context: AuditContext, listener: socket.socket) -> None:
    expected = Status.FAIL if os.geteuid() == 0 else Status.PASS
    assert host.servers_not_root(at(context, listener)).status is expected


def test_without_a_server_its_user_is_not_guessed(context: AuditContext) -> None:
    with pytest.raises(CannotCheckError, match="no running server was given"):
        host.servers_not_root(context)


def test_one_socket_open_to_the_network_fails(context: AuditContext, listener: socket.socket) -> None:
    assert host.gateway_on_loopback(at(context, listener)).status is Status.PASS
    with socket.socket() as second:
        second.bind(("0.0.0.0", 0))
        second.listen()
        finding = host.gateway_on_loopback(at(context, listener))
    assert finding.status is Status.FAIL
    assert "0.0.0.0" in finding.observed


def test_a_folder_that_others_can_write_to_fails_even_above(context: AuditContext, tmp_path: Path) -> None:
    assert host.private_folders(context).status is Status.PASS
    tmp_path.chmod(0o777)
    finding = host.private_folders(context)
    assert finding.status is Status.FAIL
    assert f"{tmp_path} has mode 0777" in finding.observed


@pytest.mark.parametrize(("address", "loopback"), [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("0.0.0.0", False), ("::", False)])
def test_loopback_is_told_in_every_spelling(address: str, loopback: bool) -> None:
    assert Socket(address, 1, None).on_loopback is loopback
