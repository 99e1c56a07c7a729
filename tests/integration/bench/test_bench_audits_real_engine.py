"""An audit of the real engine behind the gateway."""

from io import StringIO
from pathlib import Path

import pytest

from bench.audits import TESTS, Subject
from bench.audits.bodies import quiet
from bench.audits.run import run_audit
from bench.audits.subject import Chosen
from bench.load.endpoint import read_api_key
from bench.prompts.tokenizer import find_tokenizer, load_tokenizer
from bench.quality.server import Server
from bench.workload import Workload
from stack.runtime.progress import Reporter
from stack.serving.session import Session

pytestmark = pytest.mark.slow


def test_the_real_engines_streams_are_what_they_claim(served: Session, tmp_path: Path) -> None:
    prompts = {"kind": "texts", "texts": ["Name a fruit.", "Count to three.", "What is the opposite of hot?"], "max_tokens": 4}
    workload = Workload.model_validate(
        {
            "name": "small",
            "model": served.model,
            "arrivals": {"kind": "concurrency", "streams": 4},
            "prompts": prompts,
            "stop": {"requests": 48},
            "timeout_s": 120,
        }
    )
    server = Server(served.gateway_url, served.model, read_api_key(served.api_key_file))
    place = find_tokenizer(None, model=served.model)
    assert place is not None
    chosen = Chosen(Subject(workload=quiet(workload), seed=1, audit_seed=2, sample=40))
    found = run_audit(TESTS["TEST06"], chosen, server, out=tmp_path, tokenizer=load_tokenizer(place), reporter=Reporter(StringIO()))
    assert found.figures["answered"] == 40
    assert found.verdict == "pass", (found.reason, found.examples)
