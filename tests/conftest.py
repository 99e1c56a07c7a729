"""What every test may ask for."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from stack.serving.session import Session, serve_session

# A busy machine makes any example slow; pytest's own timeout ends what hangs.
settings.register_profile("stackproof", deadline=None)
settings.load_profile("stackproof")

# A shell starts background jobs with SIGINT ignored, and children inherit that: tests that press Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The CI model behind the gateway, on free ports, once per test session (about 30 s to start)."""
    with serve_session(run_dir=tmp_path_factory.mktemp("served")) as session:
        yield session
