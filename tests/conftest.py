"""What every test may ask for."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from stack.serving.session import Session, serve_session

# A busy machine makes any example slow; pytest's own timeout ends what hangs.
settings.register_profile("stackproof", deadline=None)
settings.load_profile("stackproof")

# A shell starts background jobs with SIGINT ignored, and children inherit that: tests that press Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


ENGINE = ("e2e", "integration/serving", "integration/security")
"""Where tests start an engine of their own."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs side by side (`pytest -n`): one process at a time has an engine, and a file's tests stay together.

    First, since xdist reads the groups in the same hook.
    """
    here = Path(__file__).parent
    for item in items:
        place = item.path.relative_to(here).as_posix()
        engine = "served" in getattr(item, "fixturenames", ()) or place.startswith(ENGINE)
        item.add_marker(pytest.mark.xdist_group("engine" if engine else place))


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The CI model behind the gateway, on free ports, once per test session (about 30 s to start)."""
    with serve_session(run_dir=tmp_path_factory.mktemp("served")) as session:
        yield session
