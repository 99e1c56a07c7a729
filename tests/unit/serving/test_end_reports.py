import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.serving.reports import Ended, read_reports


def field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    length, size = len(content), b""
    while length > 0x7F:
        size, length = size + bytes([length & 0x7F | 0x80]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content


def message(*texts: str) -> bytes:
    records = b"".join(field(2, b"\x09" + bytes(8) + b"\x10\x09" + field(5, field(1, text.encode()))) for text in texts)
    return field(1, field(1, b"") + field(2, field(1, b"x" * 200) + records))


def text(request_id: str, status: str, prompt: str = "-", completion: str = "-") -> str:
    return f"{request_id} {status} {prompt} {completion} clinic POST /v1/completions 250 120"


def test_every_request_of_a_message_is_read_with_the_engines_counts_and_its_times() -> None:
    read = read_reports(message(text("a", "200", "7", "5"), "b 0 - - - GET /v1/models 3 -"))
    assert read == (
        Ended("a", 200, 7, 5, "clinic", "POST", "/v1/completions", 0.25, 0.12),
        Ended("b", 0, None, None, None, "GET", "/v1/models", 0.003, None),
    )


@pytest.mark.parametrize(("told", "tokens"), [("200 7 5", 12), ("200 - -", None), ("0 - -", None), ("400 - -", 0), ("503 - -", 0), ("200 7 -", None)])
def test_a_refusal_came_to_nothing_and_an_answer_without_a_count_to_an_unknown(told: str, tokens: int | None) -> None:
    assert read_reports(message(text("a", *told.split())))[0].tokens == tokens


def test_the_installed_otlp_definitions_agree() -> None:
    logs = pytest.importorskip("opentelemetry.proto.collector.logs.v1.logs_service_pb2", reason="comes with the engine")
    request = logs.ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for told in (text("a", "200", "7", "5"), text("b", "429")):
        scope.log_records.add(time_unix_nano=1, severity_text="x").body.string_value = told
    assert [ended.request_id for ended in read_reports(request.SerializeToString())] == ["a", "b"]


@pytest.mark.parametrize("broken", [message(text("a", "200"))[:-1], b"\x0a\xff", b"\xff" * 20, message("only-an-id"), message(text("a", "x")), b"\x0f"])
def test_anything_else_is_a_value_error(broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_reports(broken)


@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_a_value_error(noise: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(read_reports(noise), tuple)
