"""No engine starts unless every rule of engine_rules holds and its files are those that were pulled."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stack.hardware_profiles import Inventory
from stack.runtime.files import sha256_file
from stack.runtime.process import Child
from stack.serving import weights
from stack.serving.engine_rules import Folder, require_safe_start
from stack.serving.errors import ModelChangedError, ServingError
from stack.serving.models import CI_MODEL, find_model
from stack.serving.plan import make_plan
from stack.serving.pools import EngineSpec
from stack.serving.vllm_process import start_engine
from stack.serving.weights import MANIFEST, Manifest, ModelFile, model_dir, require_unchanged, verify_model

MODEL = find_model(CI_MODEL)
CACHE = Folder("/cache", 0o700, ours=True)
GRAMMARS = ("--structured-outputs-config.backend", "xgrammar")
COMMAND = ("python", "-m", "vllm", "--no-trust-remote-code", "--allowed-media-domains", "media.invalid", *GRAMMARS, "--mm-hasher-algorithm", "sha256")
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
    "VLLM_MAX_N_SEQUENCES": "4",
    "VLLM_CACHE_ROOT": "/cache",
}


def without(name: str) -> tuple[str, ...]:
    return tuple(each for each in COMMAND if each != name)


def test_what_holds_to_every_rule_is_started() -> None:
    require_safe_start(COMMAND, ENVIRONMENT, cache=CACHE, fips=True)


@pytest.mark.parametrize("name", ["VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "VLLM_ALLOW_INSECURE_SERIALIZATION", "PYTHONOPTIMIZE"])
@pytest.mark.parametrize("value", ["1", "0", ""])
def test_a_switch_that_opens_the_engine_is_refused_whatever_its_value(name: str, value: str) -> None:
    with pytest.raises(ServingError, match=f"the engine is not started: {name} is set, which"):
        require_safe_start(COMMAND, {**ENVIRONMENT, name: value}, cache=CACHE, fips=False)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"HF_HUB_OFFLINE": "0"}, "HF_HUB_OFFLINE must be 1, and is 0"),
        ({"HF_HUB_OFFLINE": None}, "HF_HUB_OFFLINE must be 1, and is not set"),
        ({"VLLM_MEDIA_URL_ALLOW_REDIRECTS": "1"}, "VLLM_MEDIA_URL_ALLOW_REDIRECTS must be 0"),
        ({"VLLM_MAX_N_SEQUENCES": None}, "VLLM_MAX_N_SEQUENCES must say"),
        ({"VLLM_MAX_N_SEQUENCES": "0"}, "VLLM_MAX_N_SEQUENCES must say"),
        ({"VLLM_MAX_N_SEQUENCES": "many"}, "VLLM_MAX_N_SEQUENCES must say"),
        ({"VLLM_CACHE_ROOT": "/tmp"}, "VLLM_CACHE_ROOT must be /cache, and is /tmp"),
    ],
)
def test_a_variable_that_is_missing_or_other_is_refused(changed: dict[str, str | None], told: str) -> None:
    environment = {name: value for name, value in {**ENVIRONMENT, **changed}.items() if value is not None}
    with pytest.raises(ServingError, match=told):
        require_safe_start(COMMAND, environment, cache=CACHE, fips=False)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (without("--no-trust-remote-code"), "--no-trust-remote-code is needed"),
        ((*COMMAND, "--trust-remote-code"), "--no-trust-remote-code is needed"),
        ((*COMMAND, "--trust_remote_code=true"), "--no-trust-remote-code is needed"),
        (("python", "-O", *COMMAND[1:]), "-O takes out checks"),
        (without("media.invalid"), "--allowed-media-domains is needed"),
        (without("--allowed-media-domains"), "--allowed-media-domains is needed"),
        (without("xgrammar"), "--structured-outputs-config.backend must be xgrammar"),
        ((*COMMAND, GRAMMARS[0], "auto"), "--structured-outputs-config.backend must be xgrammar"),
    ],
)
def test_an_argument_that_is_missing_or_too_many_is_refused(command: tuple[str, ...], told: str) -> None:
    with pytest.raises(ServingError, match=told):
        require_safe_start(command, ENVIRONMENT, cache=CACHE, fips=False)


@pytest.mark.parametrize("command", [without("--mm-hasher-algorithm"), (*COMMAND[:-1], "blake3")])
def test_a_machine_in_fips_mode_needs_an_approved_hash(command: tuple[str, ...]) -> None:
    require_safe_start(command, ENVIRONMENT, cache=CACHE, fips=False)
    with pytest.raises(ServingError, match="--mm-hasher-algorithm must be one of sha256, sha512: this machine is in FIPS mode"):
        require_safe_start(command, ENVIRONMENT, cache=CACHE, fips=True)


@pytest.mark.parametrize("cache", [Folder("/cache", 0o750, ours=True), Folder("/cache", 0o707, ours=True), Folder("/cache", 0o700, ours=False)])
def test_compiled_code_that_others_can_reach_is_refused(cache: Folder) -> None:
    with pytest.raises(ServingError, match="/cache holds compiled code that the engine runs, and others may reach it"):
        require_safe_start(COMMAND, ENVIRONMENT, cache=cache, fips=False)


def pulled(place: Path) -> Path:
    """A small folder in the shape that a pull leaves."""
    place.mkdir(parents=True)
    head = json.dumps({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    (place / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + b"1234")
    (place / "config.json").write_text('{"model_type": "llama"}')
    files = {path.name: ModelFile(sha256=sha256_file(path), size_bytes=path.stat().st_size) for path in place.iterdir()}
    assert MODEL.source is not None
    manifest = Manifest(model=MODEL.name, source_sha256=MODEL.source.sha256, tools={}, files=files)
    (place / MANIFEST).write_text(manifest.model_dump_json())
    return place


class StartedError(Exception):
    """The engine's process would have been started."""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_inventory: Callable[..., Inventory]) -> Callable[[], None]:
    """Starts the engine for the model that lies in the cache, up to its process."""
    monkeypatch.setenv("STACKPROOF_CACHE", str(tmp_path))

    def begun(*_: Any, **__: Any) -> None:
        raise StartedError

    monkeypatch.setattr(Child, "start", begun)
    monkeypatch.setattr("stack.serving.vllm_process.engine_version", lambda: "vllm 0.32.0")
    plan = make_plan(make_inventory(), MODEL)
    pulled(model_dir(MODEL.name))

    def started() -> None:
        engine = EngineSpec("engine", MODEL.name, "generate", plan)
        start_engine(engine, model=model_dir(MODEL.name), port=1, key="sp-x", private=tmp_path / "p", log=tmp_path / "log")

    return started


def test_the_plans_own_command_and_environment_hold_to_every_rule_in_fips_mode_too(
    start: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fips").write_text("1\n")
    monkeypatch.setattr("stack.serving.vllm_process.FIPS_FILE", tmp_path / "fips")
    for name in ("VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "PYTHONOPTIMIZE"):
        monkeypatch.setenv(name, "1")  # of ours: an engine inherits none of them
    with pytest.raises(StartedError):
        start()


def test_an_engine_whose_weights_were_changed_is_not_started(start: Callable[[], None]) -> None:
    with pytest.raises(StartedError):
        start()
    (model_dir(MODEL.name) / "config.json").write_text('{"model_type": "other"}')
    with pytest.raises(ModelChangedError, match=r"config\.json: content is not what was pulled"):
        start()


def test_an_engine_whose_cache_others_may_write_is_not_started(start: Callable[[], None], tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir(mode=0o700)
    (tmp_path / "engine").chmod(0o777)
    with pytest.raises(ServingError, match="holds compiled code"):
        start()


def test_files_are_hashed_again_only_when_they_were_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACKPROOF_CACHE", str(tmp_path))
    place, hashed = pulled(model_dir(MODEL.name)), list[Path]()

    def counted(path: Path) -> str:
        hashed.append(path)
        return sha256_file(path)

    monkeypatch.setattr(weights, "sha256_file", counted)
    verify_model(MODEL)
    require_unchanged(MODEL, place)
    require_unchanged(MODEL, place)
    assert len(hashed) == 2
    file, changed = place / "model.safetensors", time.time_ns()
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    while time.time_ns() - changed < 20_000_000:  # coarse clocks of file systems
        time.sleep(0.005)
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # size and time of change of content as before
    with pytest.raises(ModelChangedError, match=r"model\.safetensors: content is not what was pulled"):
        require_unchanged(MODEL, place)
