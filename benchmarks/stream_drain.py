"""Reads streams as fast as they come, with little work for each read: for loads at which a client that stamps every token is the bottleneck.

    python benchmarks/stream_drain.py --seconds 5 HOST:PORT STREAMS KEY_FILE BODY_FILE

Opens the streams, reads for a second that does not count, then for the time given. Prints one JSON line: `tokens_per_s` (events that carry a token),
`reads_per_s`, `cpu` (of one core, this process), `gap_ms` (p50 and p99 of the time between two reads of the first 16 streams), `ended` (streams that did
before their time, which none should).
"""

import argparse
import json
import select
import socket
import statistics
import sys
import time
from pathlib import Path

WARMUP_S, SAMPLED, READ_BYTES, POLL_S = 1.0, 16, 1 << 18, 0.1
EVENT = b'"delta":{"content"'


class Streams:
    def __init__(self, host: str, port: int, count: int, request: bytes) -> None:
        self.poll, self.buffer = select.epoll(), bytearray(READ_BYTES)
        self.sockets: dict[int, socket.socket] = {}
        for _ in range(count):
            one = socket.create_connection((host, port))
            one.sendall(request)
            one.setblocking(False)
            self.sockets[one.fileno()] = one
            self.poll.register(one.fileno(), select.EPOLLIN)
        self.last_s = dict.fromkeys(list(self.sockets)[:SAMPLED], 0.0)

    def read(self, seconds: float) -> tuple[int, int, int, list[float]]:
        """Tokens, reads, streams that ended, gaps of the sampled streams in ms."""
        tokens, reads, ended = 0, 0, 0
        gaps: list[float] = []
        deadline_s = time.perf_counter() + seconds
        while (now_s := time.perf_counter()) < deadline_s:
            for number, _ in self.poll.poll(POLL_S):
                size = self.sockets[number].recv_into(self.buffer)
                reads += 1
                if size == 0:
                    self.poll.unregister(number)
                    ended += 1
                    continue
                tokens += self.buffer.count(EVENT, 0, size)
                if number in self.last_s:
                    gaps.append((now_s - self.last_s[number]) * 1e3)
                    self.last_s[number] = now_s
        return tokens, reads, ended, gaps


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("address")
    parser.add_argument("streams", type=int)
    parser.add_argument("key_file", type=Path)
    parser.add_argument("body_file", type=Path)
    options = parser.parse_args()
    host, _, port = options.address.rpartition(":")
    body, key = options.body_file.read_bytes(), options.key_file.read_bytes()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\nauthorization: Bearer %b\r\ncontent-length: %d\r\n\r\n"
    streams = Streams(host, int(port), options.streams, head % (key, len(body)) + body)
    streams.read(WARMUP_S)
    began_s, used_s = time.perf_counter(), time.process_time()
    tokens, reads, ended, gaps = streams.read(options.seconds)
    took_s, used_s = time.perf_counter() - began_s, time.process_time() - used_s
    cuts = statistics.quantiles(gaps, n=100)
    told = {"tokens_per_s": tokens / took_s, "reads_per_s": reads / took_s, "cpu": used_s / took_s, "gap_ms": [cuts[49], cuts[98]], "ended": ended}
    print(json.dumps(told), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
