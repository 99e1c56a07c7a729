import sysconfig
from pathlib import Path

import pytest

from stack.serving.compiler import why_no_compiler


def test_a_machine_without_compiler_or_headers_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no C++ compiler here: with g++" in (why_no_compiler() or "")
    (tmp_path / "g++").write_text("#!/bin/sh\n")
    (tmp_path / "g++").chmod(0o755)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    assert "python3-dev" in (why_no_compiler() or "")
    (tmp_path / "Python.h").touch()
    assert why_no_compiler() is None
