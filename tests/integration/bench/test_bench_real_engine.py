"""A real model behind the real gateway, measured with a workload that ships."""

from io import StringIO
from pathlib import Path

import pytest

from bench import load_workload
from bench.load.endpoint import read_api_key
from bench.run import run_workload
from bench.workload.models import Stop, Warmup
from stack.runtime.progress import Reporter
from stack.serving.session import Session

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["chat-closed", "chat-open"])
def test_a_ready_workload_measures_the_served_model(served: Session, tmp_path: Path, name: str) -> None:
    ready = load_workload(name, model=served.model)
    workload = ready.model_copy(update={"stop": Stop(requests=8), "warmup": Warmup(requests=2)})
    summary = run_workload(workload, url=served.gateway_url, api_key=read_api_key(served.api_key_file), out=tmp_path, reporter=Reporter(StringIO()))
    assert summary.requests.by_class == {}
    assert (summary.requests.ok, summary.requests.warmup) == (8, 2)
    # The engine was asked for exactly so many tokens, and sends each in a chunk of its own.
    assert summary.tokens_per_chunk == pytest.approx(1, abs=0.1)
    assert summary.metrics.tpot_ms.count == 8
    assert summary.metrics.ttft_ms.min is not None
    assert summary.metrics.e2e_ms.min is not None
    assert 0 < summary.metrics.ttft_ms.min < summary.metrics.e2e_ms.min
    assert summary.rates.output_tokens_per_s is not None
    assert summary.rates.output_tokens_per_s > 1
