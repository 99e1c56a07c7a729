"""URLs and keys are checked before anything is sent."""

from pathlib import Path

import pytest

from bench import BenchError
from bench.load.endpoint import Endpoint, read_api_key


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1", 8000, "/v1/chat/completions"),
        ("http://localhost", "localhost", 80, "/v1/chat/completions"),
        ("https://example.org/v1/", "example.org", 443, "/v1/chat/completions"),
        ("http://[::1]:9/base", "::1", 9, "/base/v1/chat/completions"),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int, path: str) -> None:
    endpoint = Endpoint.parse(url)
    assert (endpoint.host, endpoint.port, endpoint.path, endpoint.tls is not None) == (host, port, path, url.startswith("https"))


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://host", "http://", "http://host:port", "http://h/?key=1", "http://h/\r\nX: 1", "http://h:99999"])
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(BenchError, match="--url"):
        Endpoint.parse(url)


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(BenchError) as caught:
        Endpoint.parse("http://me:hunter2@host")
    assert "hunter2" not in str(caught.value)


def test_a_request_is_one_piece_with_its_length_and_key_and_the_repr_shows_no_key() -> None:
    endpoint = Endpoint.parse("http://h:1", api_key="k-123")
    head, _, body = endpoint.request(b"{}", request_id="r-1").partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v1/chat/completions HTTP/1.1"
    assert {b"Host: h:1", b"Authorization: Bearer k-123", b"X-Request-Id: r-1", b"Content-Length: 2"} <= set(lines)
    assert body == b"{}"
    assert "k-123" not in repr(endpoint)


@pytest.mark.parametrize("content", ["", "two\nlines", "a b", "\x00", "schlüssel"])
def test_a_key_file_without_one_plain_key_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    with pytest.raises(BenchError, match="--api-key-file"):
        read_api_key(path)


def test_a_key_file_may_end_in_a_line_end(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("abc\n")
    assert read_api_key(tmp_path / "key") == "abc"
    assert read_api_key(None) is None
    with pytest.raises(BenchError, match="cannot be read"):
        read_api_key(tmp_path / "none")


def test_an_unreadable_authority_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    with pytest.raises(BenchError, match="--ca-file"):
        Endpoint.parse("https://host", ca_file=tmp_path / "ca.pem")
