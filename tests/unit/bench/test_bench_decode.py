"""What the bytes say does not depend on how they were cut, and no bytes crash the reader."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.exchange import Outcome
from bench.load.spool import RawExchange
from bench.results.decode import Answer, Delta, decode
from bench.results.sse import SseParser

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"


def event(delta: dict[str, Any] | None = None, *, finish: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"choices": choices, **more}).encode() + b"\n\n"


def usage(prompt: int, completion: int) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": prompt, "completion_tokens": completion}}


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def raw(data: bytes, *, cuts: list[int] | None = None, outcome: Outcome = Outcome.COMPLETE, detail: str = "") -> RawExchange:
    """One read for each piece; the stamp of a read is the number of bytes before its end."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts or ())})
    reads = tuple((end, data[begin:end]) for begin, end in itertools.pairwise(places))
    return RawExchange(0, 0, 0, 0, 0, 0, 1, 10**6, outcome, resent=False, warmup=False, detail=detail, reads=reads)


def whole(*events: bytes) -> bytes:
    return HEAD + chunked(*events) + b"0\r\n\r\n"


CHAT = (
    event({"role": "assistant", "content": ""}),
    event({"reasoning_content": "hm"}),
    event({"content": "Hé"}),
    event({"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}),
    event({}, finish="stop"),
    event(None, **usage(7, 4)),
    DONE,
)


def test_only_content_counts_as_content() -> None:
    answer = decode(raw(whole(*CHAT)))
    assert answer.status == "ok"
    assert [(delta.kind, delta.chars) for delta in answer.deltas] == [("reasoning", 2), ("text", 2), ("tool_call", 3)]
    assert (answer.finish_reason, answer.prompt_tokens, answer.completion_tokens) == ("stop", 7, 4)


def test_events_with_a_choice_but_no_content_are_kept_apart() -> None:
    data = whole(*CHAT)
    ends = tuple(data.index(piece) + len(piece) for piece in (CHAT[0], CHAT[4]))
    assert decode(raw(data, cuts=list(range(len(data))))).empty_choices_ns == ends


def test_what_was_said_is_collected_only_when_asked_for() -> None:
    assert (decode(raw(whole(*CHAT))).text, decode(raw(whole(*CHAT))).reasoning) == (None, None)
    answer = decode(raw(whole(*CHAT)), keep_text=True)
    assert (answer.text, answer.reasoning) == ("Hé", "hm")


def without_stamps(answer: Answer) -> tuple[Any, ...]:
    return (answer.status, answer.detail, answer.finish_reason, answer.completion_tokens, [(delta.kind, delta.chars, delta.tokens) for delta in answer.deltas])


@given(st.lists(st.integers(0, 10**6), max_size=30))
def test_the_cut_of_the_reads_changes_nothing_but_the_stamps(cuts: list[int]) -> None:
    assert without_stamps(decode(raw(whole(*CHAT), cuts=cuts))) == without_stamps(decode(raw(whole(*CHAT))))


@given(st.lists(st.integers(0, 10**6), max_size=30))
def test_an_event_takes_the_stamp_of_the_read_that_completed_it(cuts: list[int]) -> None:
    data = whole(*CHAT)
    for delta, content in zip(decode(raw(data, cuts=cuts)).deltas, CHAT[1:4], strict=True):
        complete_at = data.index(content) + len(content)
        ends = [t_ns for t_ns, _ in raw(data, cuts=cuts).reads]
        assert delta.t_ns == min(end for end in ends if end >= complete_at)


LINES = st.sampled_from([b"data: a", b"data:b", b"data", b": comment", b"event: x", b"id: 1", b"", b"", b"data: \xc3\xa9"])


@given(st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=12), st.lists(st.integers(0, 100), max_size=8))
def test_events_are_the_same_in_one_piece_and_in_many(lines: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    data = b"\xef\xbb\xbf" + b"".join(line + end for line, end in lines) + b"\n"
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    parser = SseParser()
    pieces = [event for begin, end in itertools.pairwise(places) for event in parser.feed(data[begin:end])]
    assert pieces == SseParser().feed(data)


def test_event_fields_follow_the_standard() -> None:
    assert SseParser().feed(b"data: one\ndata:two\n: note\n\n\n\ndata\n\ndata: late") == [b"one\ntwo", b""]


@pytest.mark.parametrize(
    ("exchange", "status", "detail"),
    [
        (raw(b"", outcome=Outcome.REFUSED, detail="Connection refused"), "refused", "Connection refused"),
        (raw(HEAD + chunked(*CHAT[:3]), outcome=Outcome.TIMEOUT, detail="late"), "timeout", "late"),
        (raw(HEAD + chunked(*CHAT[:3]), outcome=Outcome.CLOSED_EARLY, detail="gone"), "truncated", "gone"),
        (raw(HEAD + chunked(*CHAT), outcome=Outcome.CLOSED_EARLY, detail="no last chunk"), "truncated", "no last chunk"),
        (raw(whole(*CHAT[:3])), "truncated", "without [DONE]"),
        (raw(whole(*CHAT[:3], b'data: {"error": {"message": "out of memory"}}\n\n', DONE)), "truncated", "out of memory"),
        (raw(whole(CHAT[0], b"data: {oops\n\n", *CHAT[2:])), "malformed", "not a chat chunk: {oops"),
        (raw(whole(b"data: 3\n\n", DONE)), "malformed", "not a chat chunk"),
        (raw(b"SSH-2.0-OpenSSH\r\n", outcome=Outcome.NOT_HTTP, detail="Invalid HTTP"), "malformed", "Invalid HTTP"),
        (raw(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 6\r\n\r\nno key"), "http_401", "no key"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"), "malformed", "does not stream"),
        (raw(b"", outcome=Outcome.CANCELLED), "cancelled", ""),
    ],
)
def test_failures_have_a_class_and_a_reason(exchange: RawExchange, status: str, detail: str) -> None:
    answer = decode(exchange)
    assert answer.status == status
    assert detail in answer.detail


def test_a_body_that_ends_with_the_connection_is_whole_when_its_stream_is() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    assert decode(raw(head + b"".join(CHAT), outcome=Outcome.CLOSED_EARLY)).status == "ok"
    assert decode(raw(head + b"".join(CHAT[:3]), outcome=Outcome.CLOSED_EARLY)).status == "truncated"


def test_a_missing_usage_block_leaves_the_tokens_unknown() -> None:
    answer = decode(raw(whole(*CHAT[:5], DONE)))
    assert (answer.status, answer.completion_tokens) == ("ok", None)


def test_a_running_count_tells_how_many_tokens_the_first_chunk_held() -> None:
    answer = decode(raw(whole(event({"content": "a b"}, **usage(7, 2)), event({"content": "c"}, **usage(7, 3)), DONE)))
    assert [delta.tokens for delta in answer.deltas] == [2, 3]
    assert isinstance(answer.deltas[0], Delta)


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_no_bytes_crash_the_reader(pieces: list[bytes]) -> None:
    data = HEAD + chunked(*(b"data: " + piece + b"\n\n" for piece in pieces if piece)) + b"0\r\n\r\n"
    assert decode(raw(data)).status in {"malformed", "truncated", "ok"}
    assert decode(raw(b"".join(pieces), outcome=Outcome.NOT_HTTP)).status


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["choices", "delta", "content", "usage", "tool_calls", "function", "error", "x"]), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_no_json_crashes_the_reader(value: Any) -> None:
    assert decode(raw(whole(b"data: " + json.dumps(value).encode() + b"\n\n", DONE))).status in {"malformed", "truncated", "ok"}
