"""What must hold before an engine is started, whoever made its command line and environment (pure).

The starter makes both so that all of this holds; here it is looked at again, so that no later change, plan or variable opens what is closed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stack.serving.errors import ServingError

UNSET = {
    "VLLM_SERVER_DEV_MODE": "opens routes that run any call in the engine",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "lets requests load weights",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "lets pickled data in",
    "PYTHONOPTIMIZE": "takes out checks that the engine makes by assertions",
}
"""Variables that may not be there at all, and why."""
NEEDED = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
}
NO_CODE, CODE = "--no-trust-remote-code", "--trust-remote-code"
MEDIA, HASHER = "--allowed-media-domains", "--mm-hasher-algorithm"
BACKEND, GRAMMARS = "--structured-outputs-config.backend", "xgrammar"
FIPS_HASHES = frozenset({"sha256", "sha512"})
OTHERS = 0o077


@dataclass(frozen=True)
class Folder:
    """What is known of a folder: `mode` are its permissions, `ours` says whether it belongs to the user who starts the engine."""

    path: str
    mode: int
    ours: bool


def require_safe_start(command: Sequence[str], environment: Mapping[str, str], *, cache: Folder, fips: bool) -> None:
    """ServingError naming the first rule that does not hold. `fips`: the machine only allows hashes that FIPS 140 approves."""
    for fault in (*_variables(environment), *_arguments(command, fips=fips), *_cache(environment, cache)):
        raise ServingError(f"the engine is not started: {fault}")


def _variables(environment: Mapping[str, str]) -> list[str]:
    faults = [f"{name} is set, which {why}: take it out of its environment" for name, why in UNSET.items() if name in environment]
    faults += [f"{name} must be {value}, and is {environment.get(name, 'not set')}" for name, value in NEEDED.items() if environment.get(name) != value]
    sequences = environment.get("VLLM_MAX_N_SEQUENCES", "")
    if not (sequences.isdecimal() and int(sequences) > 0):
        faults.append("VLLM_MAX_N_SEQUENCES must say how many answers one request may ask for")
    return faults


def _arguments(command: Sequence[str], *, fips: bool) -> list[str]:
    faults = []
    if NO_CODE not in command or any(each.split("=")[0].replace("_", "-") == CODE for each in command):
        faults.append(f"{NO_CODE} is needed, so that no model brings code of its own")
    if any(each in {"-O", "-OO"} for each in command):
        faults.append("-O takes out checks that the engine makes by assertions")
    if not _value(command, MEDIA):
        faults.append(f"{MEDIA} is needed: without it requests may name any address to fetch")
    if _value(command, BACKEND) != GRAMMARS:
        faults.append(f"{BACKEND} must be {GRAMMARS}: for what it cannot do others would be asked, whose cost nothing bounds")
    if fips and _value(command, HASHER) not in FIPS_HASHES:
        faults.append(f"{HASHER} must be one of {', '.join(sorted(FIPS_HASHES))}: this machine is in FIPS mode")
    return faults


def _cache(environment: Mapping[str, str], cache: Folder) -> list[str]:
    if environment.get("VLLM_CACHE_ROOT") != cache.path:
        return [f"VLLM_CACHE_ROOT must be {cache.path}, and is {environment.get('VLLM_CACHE_ROOT', 'not set')}"]
    if not cache.ours or cache.mode & OTHERS:
        return [f"{cache.path} holds compiled code that the engine runs, and others may reach it: it must be yours with mode 0700 (chmod 700, or remove it)"]
    return []


def _value(command: Sequence[str], name: str) -> str:
    """What follows an argument; empty where it is not there, or nothing follows."""
    following = [after for each, after in zip(command, (*command[1:], ""), strict=True) if each == name]
    return following[-1] if following and not following[-1].startswith("--") else ""
