"""Prompts from files: JSONL and ShareGPT (edge: reads the file once, and keeps its requests in an unnamed temporary file).

A data set may be larger than memory and must be whole before the clock starts, so each of its prompts is checked and encoded as it is
read, and written to disk; a request is then a slice of a memory map.
"""

import json
import mmap
import tempfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import BenchError
from bench.prompts.chat import START, Frame, salt
from bench.prompts.dataset_files import Prompt, read_jsonl, read_sharegpt
from bench.prompts.draw import draws
from bench.seeds import derive, stream
from bench.workload.models import Workload
from bench.workload.prompts import JsonLines, ShareGpt


class DatasetBodies:
    """In the file's order, each once in another order (every pass in the same one), or drawn with replacement from the stream `order`."""

    def __init__(self, workload: Workload, prompts: JsonLines | ShareGpt, *, seed: int) -> None:
        self.shared_share = 0.0 if prompts.salt else 1.0
        self._seed, self._salted = seed, prompts.salt
        self._output = draws(prompts.max_tokens, seed=seed, name="output")
        source = read_jsonl(prompts.file, prompts.prompt_field) if isinstance(prompts, JsonLines) else read_sharegpt(prompts.file)
        self._requests = _store(Frame(workload), source, salted=prompts.salt)
        if not self._requests.count:
            raise BenchError(f"field `prompts.file`: {prompts.file}: holds no prompt")
        self._place = _order(prompts.order, self._requests.count, seed=seed)

    def __call__(self, index: int) -> bytes:
        before, after, own_max = self._requests.get(self._place(index))
        word = salt(self._seed, index) if self._salted else b""
        return b"%b%b%b%d}" % (before, word, after, own_max or self._output(index))


@dataclass(frozen=True)
class _Requests:
    """Request k is bytes[starts[k] : starts[k + 1]]; the salt belongs before `salts[k]`."""

    held: mmap.mmap | bytes
    starts: "array[int]"
    salts: "array[int]"
    own_max: "array[int]"

    @property
    def count(self) -> int:
        return len(self.salts)

    def get(self, place: int) -> tuple[bytes, bytes, int]:
        """What stands before the salt, what after it up to the value of max_tokens, and the line's own max_tokens or 0."""
        at = self.salts[place]
        return self.held[self.starts[place] : at], self.held[at : self.starts[place + 1]], self.own_max[place]


def _store(frame: Frame, prompts: Iterator[Prompt], *, salted: bool) -> _Requests:
    starts, salts, own_max = array("Q", [0]), array("Q"), array("L")
    with tempfile.TemporaryFile(prefix="stackproof-prompts-") as file:
        for prompt in prompts:
            messages, cut = _encode(prompt.messages, salted=salted)
            request = frame.unfinished(messages)
            file.write(request)
            salts.append(starts[-1] + len(START) + cut)
            starts.append(starts[-1] + len(request))
            own_max.append(prompt.max_tokens)
        file.flush()
        held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if len(salts) else b""
    return _Requests(held, starts, salts, own_max)


def _encode(messages: Sequence[dict[str, Any]], *, salted: bool) -> tuple[bytes, int]:
    """The JSON list, and where its first words begin: there a prefix cache begins to compare, so there the salt belongs."""
    content = messages[0]["content"]
    opening = '[{"content": "'
    if salted and isinstance(content, list):  # parts, as for pictures: the salt becomes a part of its own
        content, opening = [{"type": "text", "text": ""}, *content], '[{"content": [{"type": "text", "text": "'
    encoded = json.dumps([{"content": content, **{name: value for name, value in messages[0].items() if name != "content"}}, *messages[1:]])
    return encoded.encode(), len(opening)


def _order(order: str, count: int, *, seed: int) -> Callable[[int], int]:
    """From the number of a request to that of its prompt."""
    if order == "drawn":
        return lambda index: derive(seed, "order", index) % count
    if order == "file":
        return lambda index: index % count
    places = array("L", range(count))
    stream(seed, "order").shuffle(places)
    return lambda index: places[index % count]
