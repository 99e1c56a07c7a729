"""What we keep of the engine's Prometheus page (logic)."""

from prometheus_client.parser import text_string_to_metric_families

from bench.system.readings import Reading, UnreadableError, labels_text

HISTOGRAMS = ("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds", "request_queue_time_seconds")
KEPT = frozenset(
    {
        "num_requests_running",
        "num_requests_waiting",
        "kv_cache_usage_perc",
        "prefix_cache_queries_total",
        "prefix_cache_hits_total",
        "num_preemptions_total",
        "prompt_tokens_total",
        "generation_tokens_total",
        "request_success_total",
        *(f"{name}{part}" for name in HISTOGRAMS for part in ("_sum", "_count", "_bucket")),
    }
)
"""Of vLLM 0.32 (`vllm/v1/metrics/loggers.py`), without the prefix `vllm:`."""

PREFIX = "vllm:"


def parse_page(text: str) -> tuple[Reading, ...]:
    """The readings we keep of a page; UnreadableError when it is no metrics page, or has none of them."""
    # A real page is mostly of other families: they are dropped before the parser, which is slow, sees them.
    wanted = "\n".join(line for line in text.splitlines() if PREFIX in line) + "\n"
    try:
        found = tuple(
            Reading(sample.name.removeprefix(PREFIX), labels_text(sample.labels), float(sample.value))
            for family in text_string_to_metric_families(wanted)
            for sample in family.samples
            if sample.name.startswith(PREFIX) and sample.name.removeprefix(PREFIX) in KEPT
        )
    except Exception as error:  # the parser raises whatever its code runs into: a page that it cannot read is one reason
        raise UnreadableError(f"not Prometheus' text format: {' '.join(str(error).split())[:120]}") from None
    if not found:
        raise UnreadableError("the page has none of vLLM's metrics")
    return found
