"""Exchanges come back from disk as they went, also when the last one was cut off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.exchange import Arrival, Exchange, Outcome
from bench.load.spool import Spool, read_spool

READS = st.lists(st.tuples(st.integers(0, 2**62), st.binary(max_size=40)), max_size=6)


def exchange(index: int, reads: list[tuple[int, bytes]]) -> Exchange:
    made = Exchange(index, b"", Arrival(unit=3, intended_ns=5, due_ns=9, warmup=True), turn=2)
    made.dispatched_ns, made.sent_ns, made.closed_ns, made.outcome, made.detail = 6, 7, 8, Outcome.TIMEOUT, "zu spät"
    for stamp, data in reads:
        made.stamps.append(stamp)
        made.reads.append(data)
    return made


@given(st.lists(READS, min_size=1, max_size=5), st.integers(0, 2000))
def test_whole_exchanges_survive_a_cut_anywhere(tmp_path_factory: pytest.TempPathFactory, answers: list[list[tuple[int, bytes]]], lost: int) -> None:
    path = tmp_path_factory.mktemp("spool") / "spool"
    spool = Spool(path)
    for index, reads in enumerate(answers):
        spool.append(exchange(index, reads))
    spool.close()
    back = list(read_spool(path))
    assert [list(raw.reads) for raw in back] == answers
    assert (back[0].unit, back[0].turn, back[0].intended_ns, back[0].due_ns, back[0].sent_ns, back[0].warmup) == (3, 2, 5, 9, 7, True)
    assert (back[0].outcome, back[0].detail) == (Outcome.TIMEOUT, "zu spät")
    data = path.read_bytes()
    path.write_bytes(data[: max(0, len(data) - lost)])
    left = list(read_spool(path))
    assert left == back[: len(left)]
    assert left == back or lost
