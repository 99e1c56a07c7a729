"""One user's connection against servers that do exactly one thing."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

from bench.load.endpoint import Endpoint
from bench.load.exchange import Outcome
from bench.results.decode import decode
from bench.users.client import Connection, Reply

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices": [{"delta": {"content": "hi"}, "finish_reason": null}]}\n\n'
DONE = b"data: [DONE]\n\n"
REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


ANSWER = HEAD + chunk(EVENT) + chunk(DONE) + b"0\r\n\r\n"


@contextmanager
def serving(*scripts: Callable[[socket.socket], object], timeout_s: float = 5) -> Iterator[Connection]:
    """Each connection in turn is handed to the next script, and closed after it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            for script in scripts:
                connected, _ = listener.accept()
                with connected:
                    script(connected)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        connection = Connection(Endpoint.parse(f"http://127.0.0.1:{listener.getsockname()[1]}"), timeout_s=timeout_s)
        yield connection
        connection.close()
        thread.join(10)
        assert not thread.is_alive()


def says(*pieces: bytes, pause_s: float = 0) -> Callable[[socket.socket], None]:
    """Read a request, then write the pieces."""

    def script(connected: socket.socket) -> None:
        connected.recv(1000)
        with suppress(OSError):  # the client may leave
            for piece in pieces:
                connected.sendall(piece)
                time.sleep(pause_s)

    return script


def ask(connection: Connection) -> Reply:
    reply = Reply()
    connection.ask(REQUEST, reply)
    return reply


def test_each_read_has_a_stamp_between_sending_and_the_end() -> None:
    with serving(says(HEAD, chunk(EVENT), chunk(EVENT), chunk(DONE) + b"0\r\n\r\n", pause_s=0.02)) as connection:
        reply = ask(connection)
    stamps = [t_ns for t_ns, _ in reply.reads]
    assert reply.outcome is Outcome.COMPLETE
    assert b"".join(data for _, data in reply.reads) == HEAD + chunk(EVENT) * 2 + chunk(DONE) + b"0\r\n\r\n"
    assert reply.sent_ns is not None
    assert [reply.sent_ns, *stamps, reply.closed_ns] == sorted([reply.sent_ns, *stamps, reply.closed_ns])
    assert decode(reply, keep_text=True).text == "hihi"


def test_a_connection_is_kept_for_the_next_request() -> None:
    def twice(connected: socket.socket) -> None:
        says(ANSWER)(connected)
        says(ANSWER)(connected)

    with serving(twice) as connection:
        assert [ask(connection).outcome, ask(connection).outcome] == [Outcome.COMPLETE, Outcome.COMPLETE]


def test_a_kept_connection_that_the_server_closed_is_replaced_once() -> None:
    with serving(says(ANSWER), says(ANSWER)) as connection:
        assert not ask(connection).resent
        time.sleep(0.1)
        reply = ask(connection)
    assert (reply.outcome, reply.resent) == (Outcome.COMPLETE, True)


def test_an_answer_that_says_close_is_whole_and_the_next_request_opens_a_connection() -> None:
    closing_answer = ANSWER.replace(b"Transfer-Encoding", b"Connection: close\r\nTransfer-Encoding")
    with serving(says(closing_answer), says(ANSWER)) as connection:
        assert ask(connection).outcome is Outcome.COMPLETE
        reply = ask(connection)
    assert (reply.outcome, reply.resent) == (Outcome.COMPLETE, False)


def test_a_stream_that_dies_half_way_keeps_what_came() -> None:
    with serving(says(HEAD + chunk(EVENT))) as connection:
        reply = ask(connection)
    assert (reply.outcome, len(reply.reads)) == (Outcome.CLOSED_EARLY, 1)
    assert decode(reply).status == "truncated"


def test_a_server_that_drips_bytes_does_not_outlive_the_time_limit() -> None:
    with serving(says(HEAD, *[b"1\r\n \r\n"] * 20, pause_s=0.05), timeout_s=0.3) as connection:
        began = time.monotonic()
        reply = ask(connection)
        connection.close()
    assert reply.outcome is Outcome.TIMEOUT
    assert (reply.closed_ns / 1e9 - began) < 1


def test_nobody_listening_is_a_refusal() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    reply = ask(Connection(Endpoint.parse(f"http://127.0.0.1:{port}"), timeout_s=5))
    assert (reply.outcome, reply.sent_ns) == (Outcome.REFUSED, None)
    assert "cannot connect" in reply.detail


def test_what_is_not_http_is_malformed() -> None:
    with serving(says(b"SSH-2.0-OpenSSH\r\n\r\n")) as connection:
        reply = ask(connection)
    assert reply.outcome is Outcome.NOT_HTTP
    assert decode(reply).status == "malformed"


def test_an_informational_answer_is_not_the_end() -> None:
    with serving(says(b"HTTP/1.1 103 Early Hints\r\n\r\n", ANSWER)) as connection:
        reply = ask(connection)
    assert reply.outcome is Outcome.COMPLETE
    assert decode(reply).status == "ok"
