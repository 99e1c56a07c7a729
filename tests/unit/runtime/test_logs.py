from pathlib import Path

from stack.runtime.logs import rotate


def test_the_newest_old_log_has_the_lowest_number_and_only_so_many_stay(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    for text in ("first", "second", "third", "fourth"):
        log.write_text(text)
        rotate(log, keep=2)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"access.log.1": "fourth", "access.log.2": "third"}
