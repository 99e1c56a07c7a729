"""The plan as a Ray Serve LLM application on two machines of a real Ray cluster, behind the real gateway."""

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import psutil
import pytest
import yaml

from stack.hardware_profiles import collect_inventory
from stack.runtime.net import free_port
from stack.runtime.process import Child
from stack.runtime.progress import Reporter
from stack.serving import CI_MODEL, find_model, make_plan
from stack.serving.plan import EAGER_ASKED
from stack.serving.policy import load_policy
from stack.serving.pull import pull_model
from stack.serving.weights import model_dir

pytestmark = pytest.mark.slow
MACHINES = Path(__file__).with_name("ray_machines.py")
STACKPROOF = [sys.executable, "-m", "stack.cli.main"]
READY_TIMEOUT_S = 280.0
ASKED = {"model": CI_MODEL, "messages": [{"role": "user", "content": "What is the capital of Kenya?"}], "max_tokens": 16, "temperature": 0}


@dataclass(frozen=True)
class OnTwoMachines:
    """A gateway before Ray Serve: where it is, the client's header, what `/health` of Ray Serve answered while the model came up, where it runs."""

    url: str
    headers: dict[str, str]
    healths: list[int]
    ran_on: list[str]
    machines: dict[str, str]
    settings: dict[str, str]


@pytest.fixture(scope="module")
def served() -> Iterator[OnTwoMachines]:
    """Everything that is started here ends with a guarded child, Ray's own processes too."""
    model = find_model(CI_MODEL)
    pull_model(model, Reporter())
    with ExitStack() as stack:
        # Ray's socket paths must stay under 108 bytes.
        folder = Path(tempfile.mkdtemp(prefix="sp-ray-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        settings = _settings(folder)
        cpus = make_plan(collect_inventory(), model, eager=EAGER_ASKED).cpu_threads or 1
        ray = Child.start("Ray", [sys.executable, str(MACHINES), str(folder), str(cpus)], log=folder / "machines.log", env={**os.environ, **settings})
        stack.callback(ray.stop)
        ray.wait_ready((folder / "machines.json").exists, timeout_s=90)
        machines = json.loads((folder / "machines.json").read_text())

        rendered = [*STACKPROOF, "plan", "--model", CI_MODEL, "--enforce-eager", "--format", "ray", "--model-path", str(model_dir(CI_MODEL))]
        config = yaml.load(subprocess.run(rendered, capture_output=True, text=True, timeout=60, check=True).stdout, yaml.CSafeLoader)
        port = config["http_options"]["port"] = free_port()
        (folder / "serve.yaml").write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", "ray.serve.scripts", "run", "--non-blocking", str(folder / "serve.yaml")]
        at = {**os.environ, **settings, "RAY_ADDRESS": machines["address"]}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=at, cwd=folder)
        assert done.returncode == 0, done.stderr[-2000:]

        engine_url, healths = f"http://127.0.0.1:{port}", list[int]()
        _until(lambda: _health(engine_url, healths) == 200, timeout_s=READY_TIMEOUT_S, told=lambda: _logs(folder))
        ran_on = re.findall(r"LLMServer.*started successfully on node '(\w+)'", _logs(folder))

        gateway_port, run_dir = free_port(), folder / "run"
        command = [*STACKPROOF, "serve", "--engine-url", engine_url, "--model", CI_MODEL, "--port", str(gateway_port), "--run-dir", str(run_dir), "--json"]
        gateway = Child.start("gateway", command, log=folder / "gateway.log")
        stack.callback(gateway.stop)
        gateway.wait_ready(lambda: '"gateway_url"' in (folder / "gateway.log").read_text(), timeout_s=90)
        key = (run_dir / "api.key").read_text().strip()
        yield OnTwoMachines(f"http://127.0.0.1:{gateway_port}", {"authorization": f"Bearer {key}"}, healths, ran_on, machines, settings)


def _settings(folder: Path, token: str | None = None) -> dict[str, str]:
    (folder / "token").write_text(token or secrets.token_hex(32))
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token"), "RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def _health(url: str, healths: list[int]) -> int:
    try:
        healths.append(httpx.get(f"{url}/health", timeout=5, trust_env=False).status_code)
    except httpx.TransportError:
        return 0
    return healths[-1]


def _logs(folder: Path) -> str:
    return "".join(path.read_text() for path in sorted((folder / "session_latest" / "logs" / "serve").glob("controller_[0-9]*.log")))


def _until(what: Callable[[], bool], *, timeout_s: float, told: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, f"waited in vain: {told()[-3000:]}"
        time.sleep(0.5)


def test_the_engine_runs_on_the_machine_that_has_cores_and_is_told_ready_only_then(served: OnTwoMachines) -> None:
    assert served.ran_on == [served.machines["other"]] != [served.machines["head"]]
    assert 503 in served.healths
    assert served.healths[-1] == 200
    _until(lambda: httpx.get(f"{served.url}/healthz", timeout=5).status_code == 200, timeout_s=15)


def test_a_chat_and_a_stream_pass_the_gateway(served: OnTwoMachines) -> None:
    answer = httpx.post(f"{served.url}/v1/chat/completions", json=ASKED, headers=served.headers, timeout=60)
    assert answer.status_code == 200, answer.text
    text = answer.json()["choices"][0]["message"]["content"]
    assert "Nairobi" in text
    with httpx.stream("POST", f"{served.url}/v1/chat/completions", json={**ASKED, "stream": True}, headers=served.headers, timeout=60) as stream:
        events = [line.removeprefix("data: ") for line in stream.iter_lines() if line]
    assert events[-1] == "[DONE]"
    assert "".join(json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events[:-1]) == text


def test_what_the_policy_does_not_allow_is_refused_before_ray_serve(served: OnTwoMachines) -> None:
    url = f"{served.url}/v1/chat/completions"
    assert httpx.post(url, json=ASKED, timeout=10).status_code == 401
    refused = httpx.post(url, json={**ASKED, "chat_template": "{{ x }}"}, headers=served.headers, timeout=10)
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "gateway_error")
    over = httpx.post(url, json={**ASKED, "max_tokens": load_policy().requests.max_tokens + 1}, headers=served.headers, timeout=10)
    assert over.status_code == 400
    # Ray Serve LLM answers there, to whoever reaches it.
    # Ray Serve LLM itself answers there, to whoever reaches it.
    assert httpx.post(f"{served.url}/tokenize", json={"model": CI_MODEL, "prompt": "x"}, headers=served.headers, timeout=10).status_code == 404


def test_without_the_clusters_token_no_replica_reads_what_it_is_sent(served: OnTwoMachines) -> None:
    """Replicas listen on every interface and unpickle what comes: for the token's holders alone."""
    token = Path(served.settings["RAY_AUTH_TOKEN_PATH"]).read_text()
    found = {port: (_called(port, None), _called(port, token)) for port in _replica_ports(served.settings)}
    asked = {port: answers for port, answers in found.items() if answers[1] is not grpc.StatusCode.UNIMPLEMENTED}
    assert len(asked) >= 3  # the model's, what passes requests on to it, and the one for /health
    assert {without for without, _ in asked.values()} == {grpc.StatusCode.UNAUTHENTICATED}
    assert {with_token for _, with_token in asked.values()} == {grpc.StatusCode.UNKNOWN}


def _replica_ports(settings: dict[str, str]) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            ours = process.environ().get("RAY_AUTH_TOKEN_PATH") == settings["RAY_AUTH_TOKEN_PATH"]
            if ours and " ".join(process.cmdline()).startswith("ray::ServeReplica"):
                found += [each.laddr.port for each in process.net_connections(kind="tcp") if each.status == psutil.CONN_LISTEN]
    return found


def _called(port: int, token: str | None) -> grpc.StatusCode:
    """How a port answers to a call of a replica with nothing in it."""
    metadata = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(f"localhost:{port}") as channel, pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary("/ray.serve.ASGIService/HandleRequest")(b"", timeout=10, metadata=metadata)
    code: grpc.StatusCode = raised.value.code()
    return code


def test_without_the_clusters_token_nobody_joins_it(served: OnTwoMachines, tmp_path: Path) -> None:
    program = f"import ray; ray.init(address={served.machines['address']!r}, logging_level='ERROR')"
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, **_settings(tmp_path)}, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode != 0
    assert "token" in done.stderr.lower()
