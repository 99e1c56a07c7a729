"""What vLLM would tell of the mock's work: true counts under vLLM's names, and a prefix cache that only counts (logic)."""

from collections.abc import Callable

BLOCK_WORDS = 16
"""Prompts are compared in blocks of so many words, as vLLM's cache compares blocks of tokens."""

MOST_BLOCKS = 1_000_000
LABELS = 'engine="0",model_name="mock"'


class PrefixCache:
    """Remembers which beginnings of prompts it has seen; nothing is answered any faster for it."""

    def __init__(self) -> None:
        self.queries = 0
        self.hits = 0
        self._blocks: set[int] = set()

    def look_up(self, words: list[str]) -> None:
        """Count the words of a prompt, and those in its leading blocks that an earlier prompt had too."""
        self.queries += len(words)
        begins, known = 0, True
        for end in range(BLOCK_WORDS, len(words) + 1, BLOCK_WORDS):
            begins = hash((begins, *words[end - BLOCK_WORDS : end]))
            known = known and begins in self._blocks
            self.hits += BLOCK_WORDS if known else 0
            self._blocks.add(begins)
        if len(self._blocks) > MOST_BLOCKS:
            self.reset()

    def reset(self) -> None:
        self._blocks.clear()


class EngineMetrics:
    """Counters of one server; `waiting` and `running` are asked for when a page is."""

    def __init__(self, *, running: Callable[[], int], waiting: Callable[[], int]) -> None:
        self.cache = PrefixCache()
        self._running, self._waiting = running, waiting
        self._prompt_words = 0
        self._tokens = 0
        self._finished = 0
        self._histograms = {"time_to_first_token": [0.0, 0], "inter_token_latency": [0.0, 0], "e2e_request_latency": [0.0, 0]}

    def received(self, words: list[str]) -> None:
        self._prompt_words += len(words)
        self.cache.look_up(words)

    def answered(self, *, received_ns: int, emitted_ns: list[int], tokens: int) -> None:
        """An answer went out whole."""
        self._finished += 1
        self._tokens += tokens
        first, last = emitted_ns[0], emitted_ns[-1]
        for name, duration_ns, count in (
            ("time_to_first_token", first - received_ns, 1),
            ("inter_token_latency", last - first, len(emitted_ns) - 1),
            ("e2e_request_latency", last - received_ns, 1),
        ):
            self._histograms[name][0] += duration_ns / 1e9
            self._histograms[name][1] += count

    def page(self) -> bytes:
        """Prometheus' text format."""
        lines = []
        for name, kind, value in (
            ("num_requests_running", "gauge", self._running()),
            ("num_requests_waiting", "gauge", self._waiting()),
            ("num_preemptions_total", "counter", 0),
            ("prefix_cache_queries_total", "counter", self.cache.queries),
            ("prefix_cache_hits_total", "counter", self.cache.hits),
            ("prompt_tokens_total", "counter", self._prompt_words),
            ("generation_tokens_total", "counter", self._tokens),
        ):
            lines += [f"# TYPE vllm:{name} {kind}", f"vllm:{name}{{{LABELS}}} {value}"]
        lines += ["# TYPE vllm:request_success_total counter", f'vllm:request_success_total{{{LABELS},finished_reason="length"}} {self._finished}']
        for name, (total_s, count) in self._histograms.items():
            full = f"vllm:{name}_seconds"
            lines += [
                f"# TYPE {full} histogram",
                f'{full}_bucket{{{LABELS},le="+Inf"}} {count}',
                f"{full}_sum{{{LABELS}}} {total_s}",
                f"{full}_count{{{LABELS}}} {count}",
            ]
        return ("\n".join(lines) + "\n").encode()
