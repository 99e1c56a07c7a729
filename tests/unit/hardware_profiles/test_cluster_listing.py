"""Paging: all objects, each once, whatever the server does in between."""

import json
from collections.abc import Sequence

import pytest
from kube_api import FakeCluster

from stack.hardware_profiles.cluster.listing import read_list
from stack.hardware_profiles.cluster.target import ClusterError, ExpiredError
from stack.hardware_profiles.cluster.wire import NameOnly, decoder

NAMES = [f"n{number:04d}" for number in range(1200)]
PATH = "/api/v1/nodes"
Query = Sequence[tuple[str, str]]


class Server:
    """The fake API server without its sockets."""

    def __init__(self, **settings: object) -> None:
        self.cluster = FakeCluster(nodes=[{"metadata": {"name": name}} for name in NAMES], **settings)  # type: ignore[arg-type]
        self.asked: list[dict[str, str]] = []

    def get(self, path: str, query: Query) -> bytes:
        self.asked.append(dict(query))
        code, body = self.cluster.answer("GET", f"{path}?{'&'.join(f'{name}={value}' for name, value in query)}", b"")
        if code == 410:
            raise ExpiredError(json.loads(body)["message"])
        return body


def names(server: Server) -> list[str]:
    read = decoder(NameOnly)
    return read_list(server.get, PATH, lambda raw: read(raw).metadata.name)


def test_every_object_comes_once_in_pages_of_500() -> None:
    server = Server()
    assert names(server) == NAMES
    assert [each["limit"] for each in server.asked] == ["500"] * 3


def test_a_server_that_gives_smaller_pages_than_asked_for_is_followed() -> None:
    assert names(Server(page_limit=7)) == NAMES


@pytest.mark.parametrize("pages", [1, 2])
def test_an_expired_token_begins_anew_in_one_answer_and_nothing_is_double(pages: int) -> None:
    server = Server(expire_after={"nodes": pages})
    assert names(server) == NAMES
    assert "limit" not in server.asked[-1]
    assert "continue" not in server.asked[-1]


def test_a_list_that_expires_again_is_told() -> None:
    def expired(_path: str, _query: Query) -> bytes:
        raise ExpiredError("too old")

    with pytest.raises(ClusterError, match="expired again"):
        read_list(expired, PATH, bytes)


def test_a_token_that_comes_twice_ends_in_an_error_and_no_endless_loop() -> None:
    with pytest.raises(ClusterError, match="has no end"):
        read_list(lambda *_: b'{"metadata": {"continue": "same"}, "items": []}', PATH, bytes)


@pytest.mark.parametrize("body", [b"<html>login</html>", b"[]", b'{"items": {}}', b'{"metadata": null}', b"\xff", b""])
def test_an_answer_that_is_no_list_is_told_in_one_line(body: bytes) -> None:
    with pytest.raises(ClusterError, match="is no list of the Kubernetes API") as told:
        read_list(lambda *_: body, PATH, bytes)
    assert "\n" not in str(told.value)


def test_an_empty_list_is_empty() -> None:
    assert read_list(lambda *_: b'{"items": null}', PATH, bytes) == []
