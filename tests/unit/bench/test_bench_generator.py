"""What a worker needs of the machine."""

import resource

import pytest

from bench import BenchError
from bench.load.generator import need_files


def test_more_connections_than_files_may_be_open_are_refused_with_the_mend() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY:
        need_files(1_000)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 1_000
        return
    with pytest.raises(BenchError, match="ulimit -Hn"):
        need_files(hard)


def test_the_limit_is_raised_as_far_as_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    need_files(1000)
    assert asked == [(4096, 4096)]
