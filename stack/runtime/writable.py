"""Whether what a command will make can be written where it shall lie, asked before the work begins and not after it (edge)."""

import tempfile
from contextlib import suppress
from pathlib import Path

from stack.runtime.errors import StackproofError


def require_folder(folder: Path, *, option: str) -> None:
    """StackproofError, naming the command-line option, when no file can be written into `folder`. Missing folders are made for the trial, and taken away."""
    _try(folder, told=f"{option} {folder}", mend="name another folder")


def require_file(path: Path, *, option: str) -> None:
    """StackproofError, naming the command-line option, when `path` cannot be written or replaced; its folder may be missing."""
    told = f"{option} {path}"
    try:
        if path.exists() and not path.is_file():
            raise StackproofError(f"{told}: is a {'folder' if path.is_dir() else 'device, pipe or socket'}: name a file")
    except OSError as error:
        raise StackproofError(f"{told}: cannot be written: {_why(error)}: name another file") from None
    _try(path.parent, told=told, mend="name another file")


def _try(folder: Path, *, told: str, mend: str) -> None:
    """By writing: permission bits do not tell of root's rights, of `/proc`, or of a disk mounted to be read."""
    missing = []
    try:
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (FileExistsError, NotADirectoryError):
        way = next((each for each in (folder, *folder.parents) if each.exists() or each.is_symlink()), folder)
        raise StackproofError(f"{told}: {way} is {'a file' if way.exists() else 'a link to nothing'}: {mend}") from None
    except OSError as error:
        raise StackproofError(f"{told}: cannot be written: {_why(error)}: {mend}") from None
    finally:
        for each in missing:  # the deepest first
            with suppress(OSError):
                each.rmdir()


def _why(error: OSError) -> str:
    return (error.strerror or "input or output failed").lower()
