"""Prompts with the lengths of a recorded trace, and with the reuse of prefixes that Mooncake's hashes tell (logic).

Mooncake's `hash_ids` name the prompt's blocks of 512 tokens, the last one possibly shorter. Equal ids stand for equal text.
"""

from collections.abc import Sequence

from bench.arrivals.traces import TraceRow, read_trace
from bench.errors import BenchError
from bench.prompts.chat import Frame
from bench.prompts.synthetic import CHECKED, check_length, seeded_texts
from bench.prompts.tokenizer import need_tokenizer
from bench.workload.arrivals import Trace
from bench.workload.models import Workload
from bench.workload.prompts import TracePrompts

BLOCK = 512


class TraceBodies:
    """Request k has the lengths of row k; a run longer than the trace begins again with other words, but the same blocks."""

    def __init__(self, workload: Workload, prompts: TracePrompts, *, seed: int) -> None:
        if not isinstance(workload.arrivals, Trace):
            raise BenchError("field `prompts`: kind trace needs arrivals of kind trace, whose lengths it takes")
        tokenizer = need_tokenizer(prompts.tokenizer, model=workload.model)
        self._rows = read_trace(workload.arrivals)
        self._frame = Frame(workload)
        self._texts = seeded_texts(tokenizer, salted=prompts.salt, seed=seed)
        self._most_input, self._most_output = prompts.max_input_tokens, prompts.max_output_tokens
        self.shared_share = repeated_share(self._rows, self._most_input) if prompts.salt else 1.0
        for index in range(min(CHECKED, len(self._rows))):
            check_length(tokenizer, self._words(index), self._length(self._rows[index]))

    def __call__(self, index: int) -> bytes:
        row = self._rows[index % len(self._rows)]
        output = max(1, row.output_tokens)
        return self._frame.asking(self._words(index), output if self._most_output is None else min(output, self._most_output))

    def _length(self, row: TraceRow) -> int:
        return _cut(row, self._most_input)

    def _words(self, index: int) -> bytes:
        row = self._rows[index % len(self._rows)]
        left, parts = self._length(row), []
        for block in row.prefix_hashes[: -(-left // BLOCK)]:
            parts.append(self._texts("block", block, min(BLOCK, left)))
            left -= min(BLOCK, left)
        if left:
            parts.append(self._texts("prompts", index, left))
        return b" ".join(parts)


def repeated_share(rows: Sequence[TraceRow], most_input: int | None) -> float:
    """Share of the trace's prompt tokens that lie in blocks, counted from the start of a prompt, which an earlier prompt had too."""
    seen: set[int] = set()
    repeated = total = 0
    for row in rows:
        tokens = _cut(row, most_input)
        total += tokens
        blocks = row.prefix_hashes[: -(-tokens // BLOCK)]
        known = next((place for place, block in enumerate(blocks) if block not in seen), len(blocks))
        repeated += min(tokens, known * BLOCK)
        seen.update(blocks)
    return repeated / total if total else 0.0


def _cut(row: TraceRow, most: int | None) -> int:
    """At least one token: an empty message is refused by every server."""
    return max(1, row.input_tokens if most is None else min(row.input_tokens, most))
