"""From the engine plan to a configuration of Ray Serve LLM (pure): the path for engines that span machines.

A Serve config file with an application of `ray.serve.llm` that has one `LLMConfig`, and one that answers the gateway's question for its health.
Where the model lies is the site's to say: the same path on every machine. Nothing is fetched: the engine runs offline.
"""

from typing import Any

import yaml

from stack.serving.errors import ServingError
from stack.serving.plan import EnginePlan
from stack.serving.plan.arguments import engine_options, server_options

MODEL_PATH = "/models/served"
PORT = 8001
"""Of Ray Serve, on the head's loopback: the gateway has 8000."""
HEALTH_APP = "stack.serving.ray_health:build"
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
    options.pop("distributed_executor_backend", None)  # Ray Serve LLM sets it itself: "mp" on a CPU, whatever is asked for, else "ray"
    worker = {"CPU": float(plan.cpu_threads or 1)} if plan.device == "cpu" else {"CPU": 1.0, "GPU": 1.0}
    # The replica's own core would come on top of the bundle, and a CPU's plan has given all of them away.
    replica = {"ray_actor_options": {"num_cpus": 0}} if plan.device == "cpu" else {}
    found: dict[str, Any] = {
        "model_loading_config": {"model_id": plan.model, "model_source": model_path},
        "llm_engine": "vLLM",
        "engine_kwargs": options,
        "placement_group_config": {"bundles": [dict(worker) for _ in range(plan.parallel.tensor * plan.parallel.pipeline)], "strategy": "PACK"},
        "deployment_config": {"num_replicas": plan.parallel.replicas, "max_ongoing_requests": 2 * plan.max_num_seqs, **replica},
        "runtime_env": {"env_vars": ray_environment(plan)},
        "log_engine_metrics": True,
    }
    if plan.device != "cpu" and (kind := accelerator_type(plan.device_name)) is not None:
        found["accelerator_type"] = kind
    return found


def serve_config(plan: EnginePlan, *, model_path: str = MODEL_PATH) -> dict[str, Any]:
    """A file for `serve run` or `serve deploy`; it listens on the head's loopback alone, where the gateway stands in front of it."""
    config = llm_config(plan, model_path=model_path)
    copies = plan.parallel.data > 1
    arguments: dict[str, Any] = {"llm_config": config} if copies else {"llm_configs": [config]}
    # No core for what passes requests on: it fits on any machine of the cluster, on a head that computes nothing too.
    arguments["ingress_deployment_config"] = {"ray_actor_options": {"num_cpus": 0}}
    model = {"name": plan.model, "route_prefix": "/", "import_path": COPIES_APP if copies else APP, "args": arguments}
    health = {"name": "health", "route_prefix": "/health", "import_path": HEALTH_APP, "args": {"application": plan.model}}
    return {"proxy_location": "HeadOnly", "http_options": {"host": "127.0.0.1", "port": PORT}, "applications": [model, health]}


def serve_yaml(plan: EnginePlan, *, model_path: str = MODEL_PATH) -> str:
    return yaml.safe_dump(serve_config(plan, model_path=model_path), sort_keys=False, width=160)


def ray_environment(plan: EnginePlan) -> dict[str, str]:
    """The plan's variables without the address: on several machines Ray gives each its own."""
    return {name: value for name, value in plan.environment().items() if name != "VLLM_HOST_IP"}


def accelerator_type(device_name: str) -> str | None:
    """Ray's name; None when none is known, which leaves the choice of machines to the bundles."""
    words = device_name.split()
    return next((kind for word, kind in TYPES.items() if word in words), None)
