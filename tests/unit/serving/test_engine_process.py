import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from stack.hardware_profiles import Inventory
from stack.runtime.process import Child
from stack.serving.errors import ServingError
from stack.serving.models import CI_MODEL, find_model
from stack.serving.plan import make_plan
from stack.serving.vllm_process import engine_environment, explain_death, first_answer, root_cause

LOG = """\
(Worker pid=12) ERROR 11-24 05:59:16 [multiproc_executor.py:870] WorkerProc failed to start.
(Worker pid=12) ERROR 11-24 05:59:16 [multiproc_executor.py:870]     raise ValueError(
(Worker pid=12) ERROR 11-24 05:59:16 [multiproc_executor.py:870] ValueError: Available memory on node 0 is less than requested memory for kv (90.0 GiB).
(EngineCore pid=11) ERROR 11-24 05:59:17 [core.py:1100] Exception: WorkerProc initialization failed due to an exception in a background process.
(APIServer pid=10) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""


def test_the_cause_of_an_engines_death_is_told_and_not_its_echo() -> None:
    assert root_cause(LOG) == "ValueError: Available memory on node 0 is less than requested memory for kv (90.0 GiB)."
    assert root_cause("INFO all is well\n") is None


def test_the_engine_inherits_no_switch_of_ours_and_gets_its_key_outside_the_arguments(
    make_inventory: Callable[..., Inventory], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STACKPROOF_CACHE", str(tmp_path))
    for name in ("VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "PYTHONOPTIMIZE", "PYTHONPATH", "HTTPS_PROXY", "HF_TOKEN", "LD_PRELOAD"):
        monkeypatch.setenv(name, "1")
    plan = make_plan(make_inventory(), find_model(CI_MODEL))
    environment = engine_environment(plan, key="sp-secret", private=tmp_path)
    assert not {"VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "PYTHONOPTIMIZE", "PYTHONPATH", "HTTPS_PROXY", "HF_TOKEN", "LD_PRELOAD"} & set(
        environment
    )
    assert environment["VLLM_API_KEY"] == "sp-secret"
    assert "sp-secret" not in " ".join(plan.vllm_arguments())
    assert environment["TMPDIR"] == str(tmp_path)
    assert (tmp_path / "engine").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("status", "limited", "fails"), [(200, False, False), (429, False, True), (429, True, False), (503, True, True), (403, True, True)])
def test_a_limit_that_is_used_up_is_an_answer_where_there_are_limits(status: int, limited: bool, fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpx, "post", lambda *_, **__: httpx.Response(status, text="told"))
    expected = pytest.raises(ServingError, match=f"did not complete a first prompt: HTTP {status}: told") if fails else contextlib.nullcontext()
    with expected:
        first_answer("http://x", key="k", model="m", limited=limited)


@pytest.mark.parametrize(
    ("kills_at_start", "kills_now", "told"),
    [
        (3, 4, "engine ran out of memory: the kernel killed a process"),
        (3, 3, "engine was killed (SIGKILL), and not by the kernel"),
        (None, None, "engine was killed"),
    ],
)
def test_a_kill_for_want_of_memory_is_told_from_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills_at_start: int | None, kills_now: int | None, told: str
) -> None:
    monkeypatch.setattr("stack.runtime.process.kernel_oom_kills", lambda: kills_at_start)
    child = Child.start("engine", ["bash", "-c", "kill -9 $$"], log=tmp_path / "log", grace_s=0.1)
    while child.exit_status is None:
        time.sleep(0.01)
    monkeypatch.setattr("stack.runtime.process.kernel_oom_kills", lambda: kills_now)
    assert (explain_death(child) or "").startswith(told)
    child.stop()
