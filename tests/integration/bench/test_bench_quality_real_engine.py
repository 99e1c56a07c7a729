"""A run with an accuracy task against the real engine behind the gateway."""

from io import StringIO
from pathlib import Path

import pytest

from bench import load_workload
from bench.load.endpoint import read_api_key
from bench.quality.ask import check_quality
from bench.quality.store import read_quality
from bench.results.files import QUALITY
from bench.run import run_workload
from bench.workload.models import Stop, Warmup
from bench.workload.prompts import Quality
from stack.runtime.progress import Reporter
from stack.serving.session import Session

pytestmark = pytest.mark.slow

DATA = Path(__file__).parent / "quality-tiny.jsonl"


@pytest.mark.parametrize("score", ["regex", "choice_logprob"])
def test_the_real_engine_is_asked_through_the_gateway(served: Session, tmp_path: Path, score: str) -> None:
    name = {"regex": "quality-tiny.jsonl", "choice_logprob": "choices-tiny.jsonl"}[score]
    ready = load_workload("chat-quality", model=served.model)
    quality = Quality.model_validate({"file": DATA.with_name(name), "score": score, "floor": 0.2, "max_tokens": 16})
    workload = ready.model_copy(update={"stop": Stop(requests=4), "warmup": Warmup(), "quality": quality})
    key = read_api_key(served.api_key_file)
    check_quality(workload, url=served.gateway_url, api_key=key)
    summary = run_workload(workload, url=served.gateway_url, api_key=key, out=tmp_path, reporter=Reporter(StringIO()))
    assert summary.quality is not None
    accuracy = summary.quality.accuracy
    assert accuracy is not None
    assert accuracy.failed == 0
    assert accuracy.asked == len(DATA.with_name(name).read_text().splitlines())
    assert accuracy.holds is not False
    answers = read_quality(tmp_path / QUALITY)
    assert answers is not None
    assert all((each.completion_tokens or 0) > 0 if score == "regex" else all(value < 0 for value in each.logprobs) for each in answers.answers)
