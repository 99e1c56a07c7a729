"""A key as Kubernetes mounts it: root's file that the pod's group may read. Everything else that lets others in is refused."""

import os

import pytest

from stack.privacy.keys import _is_mounted

POD = 65532


def status(mode: int, uid: int, gid: int) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "reader", "mounted"),
    [
        (0o100440, 0, POD, POD, True),
        (0o100640, 0, POD, POD, True),
        (0o100444, 0, POD, POD, False),
        (0o100460, 0, POD, POD, False),
        (0o100450, 0, POD, POD, False),
        (0o100440, 1000, POD, POD, False),
        (0o100440, POD, POD, POD, False),
        (0o100440, 0, 100, POD, False),
        (0o100440, 0, POD, 0, False),
    ],
    ids=["secret", "writable by root", "everybody", "group writes", "group executes", "of a user", "own", "of another group", "read by root"],
)
def test_only_roots_file_that_the_pods_group_reads_counts(monkeypatch: pytest.MonkeyPatch, mode: int, uid: int, gid: int, reader: int, mounted: bool) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: reader)
    monkeypatch.setattr(os, "getegid", lambda: POD)
    monkeypatch.setattr(os, "getgroups", lambda: [POD])
    assert _is_mounted(status(mode, uid, gid)) is mounted
