"""What every test may ask for."""

from collections.abc import Iterator

import pytest

from stack.serving.session import Session, serve_session


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The CI model behind the gateway, on free ports, once per test session (about 30 s to start)."""
    with serve_session(run_dir=tmp_path_factory.mktemp("served")) as session:
        yield session
