"""Public traces are read to the token and the nanosecond, and a fault in one is told with file, line and field."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.arrivals.traces import FORMATS, NS, TraceRow, read_trace, scan_trace
from bench.errors import BenchError
from bench.workload.arrivals import Trace
from bench.workload.files import CATALOG, load_workload, ready_workloads

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
BURSTGPT = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"


def trace(path: Path, kind: str, **fields: Any) -> Trace:
    return Trace.model_validate({"kind": "trace", "file": path, "format": kind, **fields})


def read(folder: Path, kind: str, text: str, **fields: Any) -> list[TraceRow]:
    path = folder / "trace"
    path.write_text(text, newline="")
    return read_trace(trace(path, kind, **fields))


# The three formats


def test_azure_keeps_its_seventh_digit(tmp_path: Path) -> None:
    rows = read(tmp_path, "azure", AZURE + "2023-11-16 18:17:03.9799600,4808,10\r\n2023-11-16 18:17:04.0319607,3180,8\r\n2023-11-16 18:17:05,110,27")
    assert rows == [TraceRow(0, 4808, 10), TraceRow(52_000_700, 3180, 8), TraceRow(1_020_040_000, 110, 27)]


def test_azure_of_2024_gives_the_offset_to_utc(tmp_path: Path) -> None:
    rows = read(tmp_path, "azure", AZURE + "2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 00:00:01+00:00,2399,6\n2024-05-10 02:00:02+02:00,76,15\n")
    assert [row.at_ns for row in rows] == [0, 990_070_000, 1_990_070_000]


def test_burstgpt_finds_its_columns_by_name_and_leaves_failures_out_and_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "burst.csv"
    path.write_text(
        "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,a,1.5,ChatGPT,472,18,490,Conversation log\n45.25,b,0,GPT-4,1087,0,1087,API log\n118,c,3,ChatGPT,417,276,693,API log\n"
    )
    reading = scan_trace(trace(path, "burstgpt"))
    assert reading.rows == [TraceRow(0, 472, 18), TraceRow(113 * NS, 417, 276)]
    assert reading.without_output == 1


def test_times_count_from_the_first_kept_row(tmp_path: Path) -> None:
    text = BURSTGPT + "5,m,1,0,1,API log\n7,m,2,1,3,API log\n8,m,3,1,4,API log\n"
    assert read(tmp_path, "burstgpt", text) == [TraceRow(0, 2, 1), TraceRow(NS, 3, 1)]
    assert read(tmp_path, "burstgpt", text, from_s=3) == [TraceRow(0, 3, 1)]


def test_mooncake_has_milliseconds_and_prefix_hashes(tmp_path: Path) -> None:
    lines = [
        {"timestamp": 27482, "input_length": 600, "output_length": 52, "hash_ids": [46, 47]},
        {"timestamp": 30535.5, "input_length": 3, "output_length": 26, "hash_ids": [48], "chat_id": 7},
    ]
    rows = read(tmp_path, "mooncake", "\n\n".join(map(json.dumps, lines)))
    assert rows == [TraceRow(0, 600, 52, (46, 47)), TraceRow(3_053_500_000, 3, 26, (48,))]


def test_rows_of_one_moment_keep_the_order_of_the_file_and_others_are_sorted(tmp_path: Path) -> None:
    rows = read(tmp_path, "burstgpt", BURSTGPT + "9,m,1,1,2,x\n4,m,9,1,2,x\n4,m,2,1,2,x\n4,m,5,1,2,x\n")
    assert [(row.at_ns, row.input_tokens) for row in rows] == [(0, 9), (0, 2), (0, 5), (5 * NS, 1)]


# Speed


@pytest.mark.slow
@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=30))
def test_twice_the_speed_halves_every_time_exactly(tmp_path_factory: pytest.TempPathFactory, stamps: list[int]) -> None:
    text = "".join(json.dumps({"timestamp": at, "input_length": 1, "output_length": 1, "hash_ids": []}) + "\n" for at in stamps)
    once, twice, slow = (read(tmp_path_factory.mktemp("trace"), "mooncake", text, speedup=factor) for factor in (1, 2, 0.5))
    assert [2 * row.at_ns for row in twice] == [row.at_ns for row in once] == [row.at_ns // 2 for row in slow]


def test_time_that_is_left_out_is_time_of_the_trace_not_of_the_replay(tmp_path: Path) -> None:
    text = BURSTGPT + "".join(f"{second},m,{second},1,1,x\n" for second in range(1, 11))
    rows = read(tmp_path, "burstgpt", text, from_s=4, speedup=10)
    assert [row.input_tokens for row in rows] == [5, 6, 7, 8, 9, 10]
    assert rows[-1].at_ns == NS // 2


# The files that come with the package


@pytest.mark.parametrize(
    ("name", "kind", "rows", "seconds"),
    [("azure-conv-2023.csv", "azure", 5227, 1065), ("azure-code-2023.csv", "azure", 5372, 1728), ("mooncake-conversation.jsonl", "mooncake", 777, 258)],
)
def test_a_shipped_excerpt_is_small_and_holds_enough_to_certify_p99(name: str, kind: str, rows: int, seconds: float) -> None:
    path = CATALOG / "data" / name
    found = read_trace(trace(path, kind))
    assert path.stat().st_size < 200_000
    assert len(found) == rows > 662
    assert found[-1].at_ns / NS == pytest.approx(seconds, abs=1)
    assert found[0].at_ns == 0


def test_the_shipped_mooncake_rows_have_one_hash_for_each_block_of_512_tokens() -> None:
    rows = read_trace(trace(CATALOG / "data" / "mooncake-conversation.jsonl", "mooncake"))
    assert all(len(row.prefix_hashes) == -(-row.input_tokens // 512) for row in rows)
    assert len({row.prefix_hashes[0] for row in rows}) < len(rows) / 2, "prefixes are shared"


def test_each_trace_that_a_ready_workload_replays_is_named_in_the_credits() -> None:
    told = (CATALOG / "data" / "README.txt").read_text()
    used = {load_workload(path).arrivals.file.name for path in ready_workloads() if load_workload(path).arrivals.kind == "trace"}  # type: ignore[union-attr]
    assert len(used) == 3
    assert all(name in told for name in used)
    assert all(word in told for word in ("CC BY 4.0", "Apache-2.0", "Azure Public Dataset", "b469a11", "3b5a59413"))


# Faults


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        ("azure", "", "line 1: no column `TIMESTAMP`"),
        ("azure", BURSTGPT + "1,m,1,1,2,x\n", "line 1: no column `TIMESTAMP`: is `arrivals.format` right?"),
        (
            "azure",
            AZURE + "2023-11-16 18:17:03,1,1\n\nyesterday,1,1\n",
            "line 4: field `TIMESTAMP`: must be a time as in 2023-11-16 18:17:03.9799600, got",
        ),
        ("azure", AZURE + "2023-11-16 18:17:03.98,many,1\n", "line 2: field `ContextTokens`: must be a whole number"),
        ("azure", AZURE + "2023-11-16 18:17:03.98,1\n", "line 2: field `GeneratedTokens`: must be a whole number"),
        ("azure", AZURE + "2023-11-16 18:17:03.98,-1,1\n", "line 2: field `ContextTokens`: must be a whole number from 0"),
        ("azure", AZURE + "2023-11-16 18:17:03.98,1,99999999999\n", "line 2: field `GeneratedTokens`: must be a whole number from 0 to 10000000"),
        ("azure", AZURE, "field `arrivals.file`"),
        ("burstgpt", BURSTGPT + "nan,m,1,1,2,x\n", "line 2: field `Timestamp`: must be a number of seconds, got 'nan'"),
        ("burstgpt", BURSTGPT + "inf,m,1,1,2,x\n", "line 2: field `Timestamp`: must be a number of seconds"),
        ("burstgpt", BURSTGPT + "1,m,1.5,1,2,x\n", "line 2: field `Request tokens`: must be a whole number"),
        ("burstgpt", BURSTGPT + "1,m,7,0,7,x\n", "holds no request with any output"),
        ("burstgpt", BURSTGPT + "0,m,7,1,7,x\n1e300,m,7,1,7,x\n", "field `Timestamp`: must be a number of seconds"),
        ("burstgpt", BURSTGPT + "0,m,7,1,7,x\n1e12,m,7,1,7,x\n", "field `arrivals.speedup`"),
        ("mooncake", "{\n", "line 1: not JSON"),
        ("mooncake", "[1]\n", "line 1: must hold one JSON object"),
        ("mooncake", '{"timestamp": 0, "input_length": 1, "output_length": 1}', "line 1: field `hash_ids`: must be a list of whole numbers, got None"),
        ("mooncake", '{"timestamp": 0, "input_length": true, "output_length": 1, "hash_ids": []}', "line 1: field `input_length`: must be a whole number"),
        (
            "mooncake",
            '{"timestamp": "0", "input_length": 1, "output_length": 1, "hash_ids": []}',
            "line 1: field `timestamp`: must be a number of ms",
        ),
        (
            "mooncake",
            '{"timestamp": NaN, "input_length": 1, "output_length": 1, "hash_ids": []}',
            "line 1: field `timestamp`: must be a number of ms",
        ),
        ("mooncake", '{"timestamp": 0, "input_length": 1, "output_length": 1, "hash_ids": ["a"]}', "line 1: field `hash_ids`: must be a list of whole numbers"),
    ],
)
def test_a_fault_is_told_in_one_line_with_file_line_and_field(tmp_path: Path, kind: str, text: str, told: str) -> None:
    with pytest.raises(BenchError) as caught:
        read(tmp_path, kind, text)
    assert told in str(caught.value)
    assert str(tmp_path / "trace") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_trace_that_is_not_there_or_not_text_is_told_by_field(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"\xff\xfe\x00\x80" * 10)
    for name in ("absent", "noise", "."):
        with pytest.raises(BenchError, match=r"field `arrivals\.file`.*cannot be read"):
            read_trace(trace(tmp_path / name, "azure"))


def test_what_lies_before_from_s_may_be_everything(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="from `from_s` on"):
        read(tmp_path, "burstgpt", BURSTGPT + "1,m,1,1,2,x\n", from_s=1.5)


@given(st.sampled_from(sorted(FORMATS)), st.binary(max_size=300))
def test_noise_is_refused_or_read_but_never_a_crash(tmp_path_factory: pytest.TempPathFactory, kind: str, noise: bytes) -> None:
    form = FORMATS[kind]
    head = b"" if kind == "mooncake" else ",".join(form.fields).encode() + b"\n"
    path = tmp_path_factory.mktemp("noise") / "trace"
    path.write_bytes(head + noise)
    try:
        rows = read_trace(trace(path, kind))
    except BenchError:
        return
    assert all(row.output_tokens > 0 for row in rows)


@pytest.mark.slow
def test_a_hundred_thousand_rows_are_read_in_the_order_of_time(tmp_path: Path) -> None:
    draw = random.Random(5)
    stamps = [draw.randrange(10**6) for _ in range(100_000)]
    rows = read(tmp_path, "burstgpt", BURSTGPT + "".join(f"{at},ChatGPT,{at % 4000},{1 + at % 500},0,API log\n" for at in stamps))
    first = min(stamps)
    assert [row.at_ns for row in rows] == [(at - first) * NS for at in sorted(stamps)]
    assert all(row.output_tokens == 1 + (row.at_ns // NS + first) % 500 for row in rows)
