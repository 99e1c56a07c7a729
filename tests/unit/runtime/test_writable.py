"""Where a result shall lie is tried before the work, and the trial leaves nothing."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stack.runtime.errors import StackproofError
from stack.runtime.writable import require_file, require_folder


def test_a_folder_that_is_there_or_can_be_made_passes_and_the_trial_leaves_nothing(tmp_path: Path) -> None:
    require_folder(tmp_path, option="--evidence")
    require_folder(tmp_path / "new" / "deep", option="--evidence")
    require_file(tmp_path / "new" / "out.tar", option="--out")
    assert os.listdir(tmp_path) == []


def test_what_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "out.tar").write_text("old")
    require_folder(tmp_path / "empty", option="--evidence")
    require_file(tmp_path / "out.tar", option="--out")
    assert sorted(os.listdir(tmp_path)) == ["empty", "out.tar"]
    assert (tmp_path / "out.tar").read_text() == "old"


def a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("mine")
    return tmp_path / "file"


def dangling_link(tmp_path: Path) -> Path:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    return tmp_path / "link"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (a_file, "/file is a file"),
        (lambda tmp_path: a_file(tmp_path) / "below" / "it", "/file is a file"),
        (dangling_link, "/link is a link to nothing"),
        (lambda _: Path("/proc/x"), "cannot be written"),
        (lambda tmp_path: tmp_path / ("x" * 300), "cannot be written"),
    ],
    ids=["file", "below a file", "dangling link", "proc", "long name"],
)
def test_a_folder_that_cannot_be_written_is_refused_with_its_option(tmp_path: Path, make: Callable[[Path], Path], told: str) -> None:
    folder = make(tmp_path)
    with pytest.raises(StackproofError, match=told) as caught:
        require_folder(folder, option="--evidence")
    assert str(caught.value).startswith(f"--evidence {folder}: ")
    assert str(caught.value).endswith(": name another folder")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda tmp_path: tmp_path, "is a folder: name a file"),
        (lambda _: Path("/dev/null"), "is a device, pipe or socket: name a file"),
        (lambda tmp_path: a_file(tmp_path) / "out.tar", "/file is a file: name another file"),
        (lambda _: Path("/proc/x.tar"), "cannot be written"),
    ],
    ids=["folder", "device", "below a file", "proc"],
)
def test_a_file_that_cannot_be_written_is_refused_with_its_option(tmp_path: Path, make: Callable[[Path], Path], told: str) -> None:
    path = make(tmp_path)
    with pytest.raises(StackproofError, match=told) as caught:
        require_file(path, option="--out")
    assert str(caught.value).startswith(f"--out {path}: ")
