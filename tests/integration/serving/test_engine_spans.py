"""The engine's own span in the trace of the request: real Envoy, real policy service, real vLLM.

Like the tests that ask for `served: Session` it starts an engine, and is run in turn with them.
"""

import sys
from collections.abc import Iterator

import httpx
import pytest
from otlp_receiver import Collector, start_collector

from stack.hardware_profiles import collect_inventory
from stack.runtime.net import LOOPBACK, free_port
from stack.runtime.process import Child
from stack.runtime.progress import Reporter
from stack.serving.deployment import DeployedModel, Deployment
from stack.serving.envoy_process import start_envoy, start_policy_service
from stack.serving.fleet import lay_out
from stack.serving.gateway import Addresses, Pool
from stack.serving.keys import ApiKey, hash_key, write_keys
from stack.serving.models import CI_MODEL
from stack.serving.policy import Tracing, load_policy
from stack.serving.pull import pull_model
from stack.serving.traces import engine_tracing
from stack.serving.vllm_process import MODULE, engine_environment
from stack.serving.weights import model_dir

pytestmark = pytest.mark.slow

KEY, ENGINE_KEY = "sp-client", "sp-engine"
DEVICE = "0f1e2d3c4b5a6978"
"""As the inventory hashes a UUID; a processor has none, so this one is made up."""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with start_collector() as started:
        yield started


@pytest.fixture(scope="module")
def engine(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("vllm", reason="the engine is not installed")
    (pool,) = lay_out(Deployment(models=(DeployedModel(model=CI_MODEL, max_model_len=256),)), collect_inventory())
    pull_model(pool.catalog, Reporter())
    model, port, private = model_dir(CI_MODEL), free_port(), tmp_path_factory.mktemp("e")
    traced = engine_tracing(Tracing(endpoint=collector.endpoint), pool.engines[0].name, host="this-host", devices=(DEVICE,))
    command = [sys.executable, "-m", MODULE, "--model", model.name, "--host", LOOPBACK, "--port", str(port), *pool.plan.vllm_arguments()]
    environment = engine_environment(pool.plan, key=ENGINE_KEY, private=private) | traced.environment
    child = Child.start("engine", [*command, *traced.arguments], log=private / "engine.log", env=environment, cwd=model.parent)
    try:
        child.wait_ready(lambda: _healthy(port), timeout_s=200)
        yield f"{LOOPBACK}:{port}"
    finally:
        child.stop()


def _healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://{LOOPBACK}:{port}/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def gateway(collector: Collector, engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("g"), free_port()
    policy = load_policy().model_copy(update={"tracing": Tracing(endpoint=collector.endpoint)})
    write_keys(folder / "keys.json", (ApiKey(tenant="clinic", sha256=hash_key(KEY)),))
    (folder / "engine.key").write_text(ENGINE_KEY)
    service = start_policy_service(
        policy,
        policy_file=folder / "policy.yaml",
        keys=folder / "keys.json",
        engine_key=folder / "engine.key",
        address=folder / "p.sock",
        audit_log=folder / "audit.jsonl",
        log=folder / "policy.log",
    )
    addresses = Addresses(
        listen=f"{LOOPBACK}:{port}",
        pools=(Pool(engines=(engine,)),),
        policy_service=f"unix:{folder / 'p.sock'}",
        admin=f"unix:{folder / 'a.sock'}",
        access_log=str(folder / "access.log"),
    )
    try:
        envoy = start_envoy(policy, addresses, config=folder / "envoy.yaml", log=folder / "gateway.log")
        try:
            yield f"http://{LOOPBACK}:{port}"
        finally:
            envoy.stop()
    finally:
        service.stop()


def test_the_engines_span_hangs_in_the_requests_trace_and_names_queue_first_token_and_devices(gateway: str, collector: Collector) -> None:
    body = {"model": CI_MODEL, "messages": [{"role": "user", "content": "Say hello to Amina"}], "max_tokens": 3}
    answer = httpx.post(f"{gateway}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=120, trust_env=False)
    assert answer.status_code == 200, answer.text
    spans = collector.wait(lambda found: {"llm_request", "gateway", "engine"} <= {span.name for span in found}, timeout_s=30)
    whole = next(span for span in spans if span.attributes.get("guid:x-request-id") == answer.headers["x-request-id"])
    to_engine = next(span for span in spans if span.name == "engine" and span.trace == whole.trace)
    inside = next(span for span in spans if span.name == "llm_request" and span.trace == whole.trace)
    assert (to_engine.parent, inside.parent) == (whole.id, to_engine.id)
    assert inside.attributes["gen_ai.request.id"] == f"chatcmpl-{answer.headers['x-request-id']}", "the engine's log is found by the gateway's id too"
    usage = answer.json()["usage"]
    assert inside.attributes["gen_ai.usage.prompt_tokens"] == usage["prompt_tokens"]
    assert inside.attributes["gen_ai.usage.completion_tokens"] == usage["completion_tokens"]
    assert 0 <= inside.attributes["gen_ai.latency.time_in_queue"] < inside.attributes["gen_ai.latency.e2e"]
    assert 0 < inside.attributes["gen_ai.latency.time_to_first_token"] <= inside.attributes["gen_ai.latency.e2e"] < whole.duration_ms / 1000
    told = {name: inside.resource.get(name) for name in ("service.name", "service.instance.id", "host.name", "stackproof.devices")}
    assert told == {"service.name": "stackproof-engine", "service.instance.id": "engine", "host.name": "this-host", "stackproof.devices": DEVICE}
    assert "Amina" not in repr(spans)
