"""Endpoint labeling against a mock that takes 100 ms an answer: records/s and processor time per request, beside other ways to ask.

    .venv/bin/python benchmarks/endpoint_labeling.py [--records 3000] [--in-flight 64] [--latency-ms 100]

The mock runs in a process of its own, so its work is not in the figures. Rows: `stack.pipelines.labeling` with and without answers
kept on disk; the project's general client (`stack.serving.chat`, on httpx) with as many in flight; one request after another, each awaited
in turn within its batch, with two tasks at a time, as Ray Data's HTTP stage does (`http_request_stage.py`); and a plain serial loop.
The most that can be had is in-flight / latency. Bar: 500 records/s with 64 in flight. Exit status 1 when it is missed.
"""

import argparse
import asyncio
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from stack.pipelines.base import Work
from stack.pipelines.endpoint import ChatEndpoint
from stack.pipelines.labeling import Llm, ask
from stack.serving.chat import ChatClient

LABELS = ("negative", "neutral", "positive")
BAR = 500
SLOW_RECORDS = 60
SHARD = 500
TEXT = "Record {}: the clinic was clean and the nurse was kind, but we waited for three hours and the pharmacy had closed when we came out."


def serve(latency_s: float, ready: "Connection[int, int]") -> None:
    """Answer every POST after the latency."""
    import httptools
    import uvloop

    body = (
        b'{"id":"x","object":"chat.completion","model":"mock","choices":[{"index":0,"message":{"role":"assistant","content":"neutral"},'
        b'"finish_reason":"stop"}],"usage":{"prompt_tokens":60,"completion_tokens":1,"total_tokens":61}}'
    )
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    class Handler(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport, self.parser = transport, httptools.HttpRequestParser(self)

        def data_received(self, data: bytes) -> None:
            self.parser.feed_data(data)

        def on_message_complete(self) -> None:
            asyncio.get_running_loop().call_later(latency_s, self.transport.write, answer)

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Handler, "127.0.0.1", 0, backlog=4096)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(run())


@contextmanager
def mock(latency_s: float) -> Iterator[str]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(latency_s, there), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        process.join()


def timed(name: str, records: int, work: Callable[[], object]) -> float:
    """Records/s; prints the row."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    sys.stdout.write(f"{name:44s} {records:6d} records {records / wall:8.1f} records/s  {cpu / records * 1e3:7.3f} ms CPU/request\n")
    sys.stdout.flush()
    return records / wall


def in_shards(labeler: Llm, texts: list[str], work: Work) -> None:
    """As a run with one worker does: a shard is whole before the next begins."""
    for start in range(0, len(texts), SHARD):
        ask(labeler, texts[start : start + SHARD], LABELS, replace(work, answers=work.folder / "sharded" / f"{start}.jsonl"))


def together(url: str, texts: list[str], labeler: Llm, *, in_flight: int, tasks: int | None = None) -> Coroutine[Any, Any, list[object]]:
    """The general client: all at once, or `tasks` loops that await one request after another."""

    async def run() -> list[object]:
        async with ChatClient(url, "mock", concurrency=in_flight) as client:

            async def one(text: str) -> object:
                chat = [{"role": "user", "content": labeler.prompt.replace("{text}", text)}]
                return await client.complete(chat, max_tokens=labeler.max_tokens, choices=LABELS)

            async def in_turn(part: list[str]) -> list[object]:
                return [await one(text) for text in part]

            if tasks is None:
                return await asyncio.gather(*map(one, texts))
            return await asyncio.gather(*(in_turn(texts[start::tasks]) for start in range(tasks)))

    return run()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=3000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--latency-ms", type=float, default=100.0)
    chosen = parser.parse_args()
    in_flight: int = chosen.in_flight
    texts = [TEXT.format(number) for number in range(chosen.records)]
    labeler = Llm.model_validate(
        {"kind": "llm", "name": "model", "prompt": "What does this say of the service?\n{text}\nAnswer with one word.", "concurrency": in_flight}
    )
    most = in_flight / chosen.latency_ms * 1e3
    sys.stdout.write(f"Python {platform.python_version()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; at most {most:.0f} records/s\n")
    with mock(chosen.latency_ms / 1e3) as url, tempfile.TemporaryDirectory() as folder:
        work = Work(Path(folder), endpoint=ChatEndpoint(url, "mock"))
        kept = Work(Path(folder), endpoint=work.endpoint, answers=Path(folder) / "answers" / "0.jsonl")
        ask(labeler, texts[:in_flight], LABELS, work)
        bare = timed("labeling", len(texts), lambda: ask(labeler, texts, LABELS, work))
        rate = timed("labeling, answers kept", len(texts), lambda: ask(labeler, texts, LABELS, kept))
        timed(f"labeling, in {len(texts) // SHARD} shards of {SHARD}", len(texts), lambda: in_shards(labeler, texts, work))
        timed("labeling, all answers known", len(texts), lambda: ask(labeler, texts, LABELS, kept))
        some, few = texts[: len(texts) // 5], texts[:SLOW_RECORDS]
        general = timed("httpx client, as many in flight", len(some), lambda: asyncio.run(together(url, some, labeler, in_flight=in_flight)))
        in_turn = timed("in turn within a batch, 2 at a time", len(few), lambda: asyncio.run(together(url, few, labeler, in_flight=2, tasks=2)))
        timed("a serial loop", len(few), lambda: asyncio.run(together(url, few, labeler, in_flight=1, tasks=1)))
    ratios = f"{rate / most:.0%} of the most, {rate / bare:.2f}x without keeping, {rate / general:.1f}x httpx, {rate / in_turn:.0f}x in turn"
    sys.stdout.write(f"labeling, answers kept: {ratios}\n")
    return 0 if rate >= BAR or most < BAR else 1


if __name__ == "__main__":
    sys.exit(main())
