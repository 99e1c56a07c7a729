"""From the engine plan and the gateway policy to values of the Helm chart (pure), so that nothing is typed twice.

Images, claims, Secrets and clients are the site's to add; no path or key of this machine gets in.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from stack.serving.errors import ServingError
from stack.serving.fleet.layout import ENGINE, served_models
from stack.serving.gateway import Addresses, Pool, Served, render_envoy, render_secrets
from stack.serving.gateway.tls import probe_listener
from stack.serving.gateway.tracing import collector_address
from stack.serving.helm_files import ENVOY_FOLDER, key_set_files, policy_in_cluster, pseudonym_files
from stack.serving.helm_pools import listed_models
from stack.serving.listed import Task, write_listed
from stack.serving.plan import GIB, EnginePlan
from stack.serving.plan.models import Device
from stack.serving.policy import GatewayPolicy, Tracing
from stack.serving.pools import PoolSpec
from stack.serving.traces import EngineTracing, engine_tracing
from stack.serving.vllm_process import MODULE, TASK_ARGUMENTS

CHART_NAME = "stackproof"
NAME_PATTERN = r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?"
ENGINE_PORT, GATEWAY_PORT, AUTHZ_PORT = 8000, 8080, 9000
PROBE_PORT = 8081
"""Where a gateway tells the kubelet whether it is ready, if it wants certificates of its clients or serves several pools."""
TAKEN_PORTS = (GATEWAY_PORT, PROBE_PORT, AUTHZ_PORT)
LOWEST_PORT = 1024
"""That a user other than root may listen on."""
MODEL_PATH = "/models/served"
SCRATCH_GIB = {"tmp": 1, "cache": 4, "sharedMemory": 1}
MEMORY_HEADROOM = 1.25
"""Memory limit over the plan's need: the plan's runtime share is of one model and one build of the engine."""
MOST_REPLICAS = 64
"""Of the chart's schema."""
HOST_BYTES, HOST_BYTES_A_DEVICE = 6 * GIB, 2 * GIB
HOST_CPUS, HOST_CPUS_A_DEVICE = 2, 2
"""Beside accelerators, the engine's processes on the host: an allowance, not measured."""
RESOURCES: dict[Device, str] = {"cuda": "nvidia.com/gpu", "rocm": "amd.com/gpu", "hpu": "habana.ai/gaudi"}
"""Names under which the makers' device plug-ins offer accelerators."""


@dataclass(frozen=True)
class _Engines:
    """One pool of the chart: `name` is the component's, and of the pool in Envoy's configuration."""

    name: str
    plan: EnginePlan
    served_name: str
    task: Task
    replicas: int
    sub_path: str = ""


def chart_values(plan: EnginePlan, policy: GatewayPolicy, *, name: str = CHART_NAME) -> dict[str, Any]:
    """The [generated] part of helm/stackproof/values.yaml for one model; `name` prefixes the Services that the gateway connects to.

    ServingError when the chart cannot carry it.
    """
    engines = _Engines(ENGINE, plan, plan.model, "generate", min(MOST_REPLICAS, plan.parallel.replicas))
    return _values((engines,), (), policy, name)


def deployment_values(pools: Sequence[PoolSpec], policy: GatewayPolicy, *, name: str = CHART_NAME) -> dict[str, Any]:
    """The same for the models of a deployment, each with its engines and perhaps a canary: a pool in Envoy's configuration for each. ServingError as there."""
    engines = tuple(_Engines(pool.name, pool.plan, pool.served_name, pool.task, len(pool.engines), pool.catalog.name) for pool in pools)
    values = _values(engines, served_models(tuple(pools)) if len(pools) > 1 else (), policy, name)
    values["authz"]["models"] = write_listed(listed_models(pools))
    return values


def _values(pools: Sequence[_Engines], served: tuple[Served, ...], policy: GatewayPolicy, name: str) -> dict[str, Any]:
    if not re.fullmatch(NAME_PATTERN, name):
        raise ServingError(f"name {name!r}: use at most 40 lower-case letters, digits and dashes, beginning with a letter")
    for plan in (each.plan for each in pools):
        if plan.parallel.nodes > 1:
            raise ServingError(f"the chart runs an engine in one pod, this plan spans {plan.parallel.nodes} machines: render it with --format ray")
        if plan.draft is not None:
            raise ServingError("the chart mounts one model: leave --draft out")
    policy = policy_in_cluster(policy)
    tracing, drain_s = pod_tracing(policy.tracing), math.ceil(policy.timeouts.drain_s)
    first, *others = pools
    addresses = cluster_addresses(name, tuple(each.name for each in pools), served)
    return {
        "name": name,
        "model": {"servedName": first.served_name, "mountPath": MODEL_PATH},
        "engine": {
            **({"replicas": first.replicas} if first.replicas > 1 else {}),
            "port": ENGINE_PORT,
            "command": ["python3", "-m", MODULE],
            **_engine(first, tracing),
            "drainSeconds": drain_s,
        },
        **({"pools": {each.name: _pool(each, tracing) for each in others}} if others else {}),
        "gateway": {
            "port": GATEWAY_PORT,
            **_metrics_port("gateway", policy.metrics.gateway),
            **_tls(policy),
            **_probe_port(policy, addresses),
            "config": values_yaml(cluster_envoy(policy, addresses)),
            "healthPath": policy.health_path,
            "drainSeconds": drain_s,
        },
        "authz": {
            "port": AUTHZ_PORT,
            **_metrics_port("policy_service", policy.metrics.policy_service),
            "policy": yaml.safe_dump(policy.model_dump(mode="json"), sort_keys=False),
            **({"keySets": key_set_files(policy)} if policy.issuers else {}),
            **({"pseudonymKeys": pseudonym_files(policy)} if pseudonym_files(policy) else {}),
            "drainSeconds": drain_s,
            # Accounts are kept in one process: where tenants are limited, one policy service has to see every request.
            **({"replicas": 1} if policy.limits_tenants else {}),
            **({"budgets": True} if policy.daily else {}),
        },
        **({"tracing": _tracing(policy.tracing)} if policy.tracing else {}),
    }


def _engine(engines: _Engines, tracing: EngineTracing) -> dict[str, Any]:
    plan = engines.plan
    listening = ["--model", MODEL_PATH, "--host", "0.0.0.0", "--port", str(ENGINE_PORT)]  # noqa: S104  # the pod's own address; NetworkPolicy admits the gateway alone
    return {
        "args": [*listening, *plan.vllm_arguments(engines.served_name), *TASK_ARGUMENTS[engines.task], *tracing.arguments],
        "env": [{"name": variable, "value": value} for variable, value in (pod_environment(plan) | tracing.environment).items()],
        "resources": pod_resources(plan),
        "scratch": {volume: f"{size}Gi" for volume, size in _scratch_gib(plan).items()},
    }


def _pool(engines: _Engines, tracing: EngineTracing) -> dict[str, Any]:
    """`models pull` leaves a model in a folder of its name: where nothing else is said, that is looked for."""
    return {"servedName": engines.served_name, "replicas": engines.replicas, **_engine(engines, tracing), "model": {"subPath": engines.sub_path}}


def cluster_envoy(policy: GatewayPolicy, addresses: Addresses) -> dict[str, Any]:
    """Envoy's configuration in a pod: the laptop's, and where it needs one a listener for the kubelet."""
    config = render_envoy(policy, addresses)
    if not _probe_port(policy, addresses):
        return config
    listeners = config["static_resources"]["listeners"]
    probe = probe_listener(listeners[0], f"0.0.0.0:{PROBE_PORT}", policy.health_path)
    return {**config, "static_resources": {**config["static_resources"], "listeners": [*listeners, probe]}}


def pod_tracing(tracing: Tracing | None) -> EngineTracing:
    """What an engine's pod adds to its plan, to send its spans; ServingError for a collector that no pod reaches."""
    if tracing is None:
        return EngineTracing((), {})
    host, _ = collector_address(tracing)
    if host == "localhost" or host.startswith("127."):
        raise ServingError(f"field `tracing.endpoint`: {tracing.endpoint}: in a pod that is the pod itself: name the collector's Service")
    spans = engine_tracing(tracing, "engine", host="node")
    # Of what tells engines apart only the kubelet knows the values: it puts them in.
    return EngineTracing(spans.arguments, {**spans.environment, "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=$(POD_NAME),host.name=$(NODE_NAME)"})


def _tracing(tracing: Tracing) -> dict[str, Any]:
    known = {} if tracing.ca_file is None else {"ownAuthority": True}
    return {"endpoint": tracing.endpoint, "port": collector_address(tracing)[1], **known}


def _tls(policy: GatewayPolicy) -> dict[str, Any]:
    if policy.tls is None:
        return {}
    documents = {name: yaml.safe_dump(document, sort_keys=False) for name, document in render_secrets(policy.tls).items()}
    return {"tls": {"enabled": True, "clientCertificates": policy.tls.client_ca is not None, "documents": documents}}


def _probe_port(policy: GatewayPolicy, addresses: Addresses) -> dict[str, int]:
    """Where the listener itself would not do: it wants a certificate, or its answer is about every pool."""
    mutual = policy.tls is not None and policy.tls.client_ca is not None
    return {"probePort": PROBE_PORT} if mutual or addresses.models else {}


def _metrics_port(field: str, address: str | None) -> dict[str, int]:
    if address is None:
        return {}
    host, _, port = address.rpartition(":")
    if host != "0.0.0.0" or int(port) < LOWEST_PORT:  # noqa: S104  # of the pod; NetworkPolicy admits the named scrapers alone
        raise ServingError(f"field `metrics.{field}`: {address}: in a pod nobody reaches but 0.0.0.0 and a port from {LOWEST_PORT} on")
    if int(port) in TAKEN_PORTS:
        raise ServingError(f"field `metrics.{field}`: {address}: the port is taken in the chart: choose none of {', '.join(map(str, TAKEN_PORTS))}")
    return {"metricsPort": int(port)}


def cluster_addresses(name: str, pools: tuple[str, ...] = (ENGINE,), models: tuple[Served, ...] = ()) -> Addresses:
    """Where the parts meet in a cluster: Services of the release's namespace; the gateway's admin socket stays inside its pod."""
    return Addresses(
        listen=f"0.0.0.0:{GATEWAY_PORT}",
        pools=tuple(Pool(name=pool, engines=(f"{name}-{pool}:{ENGINE_PORT}",)) for pool in pools),
        models=models,
        policy_service=f"{name}-authz:{AUTHZ_PORT}",
        admin="unix:/tmp/admin.sock",
        secrets=ENVOY_FOLDER,
        access_log="/dev/stdout",
    )


def pod_environment(plan: EnginePlan) -> dict[str, str]:
    """The plan's variables without binding to cores, which is computed from all cores a process may run on.

    A CPU limit is a quota of time on every core of the node, so binding would start a thread on each and be throttled.
    """
    return plan.model_copy(update={"cpu_pinned": False}).environment()


def pod_resources(plan: EnginePlan) -> dict[str, dict[str, str]]:
    """Requests equal to limits: the pod is of class Guaranteed, so a static CPU manager can give it whole cores."""
    scratch, devices = _scratch_gib(plan), plan.parallel.devices
    if plan.device == "cpu":
        # All workers of one engine run in this pod; weights and cache are those of one.
        cpus, host_bytes = (plan.cpu_threads or 1) + (plan.cpu_reserved or 0), devices * plan.memory.needed_bytes * MEMORY_HEADROOM
    else:
        # Weights pass through the page cache of the pod once.
        cpus, host_bytes = HOST_CPUS + HOST_CPUS_A_DEVICE * devices, devices * (plan.memory.weights_bytes + HOST_BYTES_A_DEVICE) + HOST_BYTES
    amounts = {
        "cpu": str(cpus),
        "memory": f"{math.ceil(host_bytes / GIB) + scratch['sharedMemory']}Gi",
        "ephemeral-storage": f"{scratch['tmp'] + scratch['cache'] + 1}Gi",
    }
    if plan.device != "cpu":
        amounts[RESOURCES[plan.device]] = str(devices)
    return {"requests": amounts, "limits": amounts}


def _scratch_gib(plan: EnginePlan) -> dict[str, int]:
    """Workers of one engine talk through shared memory: a GiB for each."""
    return {**SCRATCH_GIB, "sharedMemory": SCRATCH_GIB["sharedMemory"] * plan.parallel.devices}


def values_yaml(values: dict[str, Any]) -> str:
    """Values as a file to pass to helm, or Envoy's configuration in them: texts of several lines, such as scripts, as blocks that can be read."""
    return yaml.dump(values, Dumper=_BlockDumper, sort_keys=False, width=160, allow_unicode=True)


class _BlockDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # requests and limits are written out
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_BlockDumper.add_representer(str, _text)
