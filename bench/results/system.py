"""What the system under test comes to in a summary, and what it says against a run (pure functions)."""

from bench.results.samples import Samples
from bench.results.summary import Rates, RunInfo, Window
from bench.system.cache_guard import cache_reasons
from bench.system.models import SystemView
from bench.system.view import view


def system_of(samples: Samples, *, window: Window | None, rates: Rates, per_chunk: float | None) -> SystemView | None:
    """None where the run was not watched; `rates` are those over `window`."""
    if samples.system is None:
        return None
    tokens = None if window is None or rates.output_tokens_per_s is None else rates.output_tokens_per_s * (window.end_s - window.start_s)
    window_s = None if window is None else (window.start_s, window.end_s)
    return view(samples.system, samples.requests, model=samples.run.workload.model, window_s=window_s, output_tokens=tokens, per_chunk=per_chunk)


def system_reasons(run: RunInfo, system: SystemView | None) -> list[str]:
    """Why the run must not be quoted: the server had other load than ours, or knew the prompts from before."""
    if system is None:
        return []
    return [*system.invalid_reasons, *cache_reasons(run.workload.cache, system, shared_share=run.shared_share)]
