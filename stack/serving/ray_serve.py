"""From the engine plan to a configuration of Ray Serve LLM (pure): the path for engines that span machines.

A Serve config file with one application of `ray.serve.llm` and one `LLMConfig`. Where the model lies is the site's to say: the same
path on every machine. Nothing is fetched: the engine runs offline.
"""

from typing import Any

import yaml

from stack.serving.errors import ServingError
from stack.serving.plan import EnginePlan
from stack.serving.plan.arguments import engine_options, server_options

MODEL_PATH = "/models/served"
APP, COPIES_APP = "ray.serve.llm:build_openai_app", "ray.serve.llm:build_dp_openai_app"
"""The second starts one server for each copy of the attention part and keeps them together as one engine."""
TYPES = {
    "L4": "L4",
    "L40S": "L40S",
    "A100": "A100",
    "H100": "H100",
    "H200": "H200",
    "B200": "B200",
    "B300": "B300",
    "MI300X": "AMD-Instinct-MI300X-OAM",
    "MI325X": "AMD-Instinct-MI325X-OAM",
}
"""Ray's names of accelerator types, by a word of the accelerator's own name."""


def llm_config(plan: EnginePlan, *, model_path: str = MODEL_PATH) -> dict[str, Any]:
    """Fields of `ray.serve.llm.LLMConfig`. One bundle a worker; Ray packs them, so that tensor parallelism stays in a machine.

    ServingError for Gaudi, which Ray Serve LLM has no back end for.
    """
    if plan.device == "hpu":
        raise ServingError("Ray Serve LLM 2.60 knows processors, GPUs and TPUs, not Gaudi: render the plan with --format vllm or helm")
    options = engine_options(plan) | server_options(plan)
    options.pop("distributed_executor_backend", None)  # Ray Serve LLM sets it itself
    worker = {"CPU": float(plan.cpu_threads or 1)} if plan.device == "cpu" else {"CPU": 1.0, "GPU": 1.0}
    found: dict[str, Any] = {
        "model_loading_config": {"model_id": plan.model, "model_source": model_path},
        "llm_engine": "vLLM",
        "engine_kwargs": options,
        "placement_group_config": {"bundles": [dict(worker) for _ in range(plan.parallel.tensor * plan.parallel.pipeline)], "strategy": "PACK"},
        "deployment_config": {"num_replicas": plan.parallel.replicas, "max_ongoing_requests": 2 * plan.max_num_seqs},
        "runtime_env": {"env_vars": ray_environment(plan)},
        "log_engine_metrics": True,
    }
    if plan.device != "cpu" and (kind := accelerator_type(plan.device_name)) is not None:
        found["accelerator_type"] = kind
    return found


def serve_config(plan: EnginePlan, *, model_path: str = MODEL_PATH) -> dict[str, Any]:
    """A file for `serve run` or `serve deploy`; bound to loopback, for the gateway stands in front of it."""
    config = llm_config(plan, model_path=model_path)
    builder, arguments = (APP, {"llm_configs": [config]}) if plan.parallel.data == 1 else (COPIES_APP, {"llm_config": config})
    application = {"name": plan.model, "route_prefix": "/", "import_path": builder, "args": arguments}
    return {"http_options": {"host": "127.0.0.1", "port": 8000}, "applications": [application]}


def serve_yaml(plan: EnginePlan) -> str:
    return yaml.safe_dump(serve_config(plan), sort_keys=False, width=160)


def ray_environment(plan: EnginePlan) -> dict[str, str]:
    """The plan's variables without the address: on several machines Ray gives each its own."""
    return {name: value for name, value in plan.environment().items() if name != "VLLM_HOST_IP"}


def accelerator_type(device_name: str) -> str | None:
    """Ray's name; None when none is known, which leaves the choice of machines to the bundles."""
    words = device_name.split()
    return next((kind for word, kind in TYPES.items() if word in words), None)
