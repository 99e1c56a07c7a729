from collections.abc import Iterator

import pytest
from gateway_kit import EchoGateway, start_echo_gateway


@pytest.fixture(scope="module")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EchoGateway]:
    with start_echo_gateway(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture
def echo_gateway(shared_gateway: EchoGateway) -> EchoGateway:
    """The gateway of this module, with nothing on record as having reached the engine."""
    shared_gateway.reached.clear()
    return shared_gateway
