"""Several models and a canary: a Deployment for each pool, one Envoy configuration that knows them all, and requests that find their way through it."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from kube_schemas import schema_faults
from machines import CHART, KUBE_VERSIONS, ROOT, SITE, Manifest, Renderer
from pod_rules import pod_specs, project_faults, restricted_faults
from pods_here import Pods, answers, start_engine_stub
from reachability import Party, reaches
from secured_rules import container, mounted, one

from stack.hardware_profiles import Inventory
from stack.runtime.net import free_port
from stack.serving.deployment import Canary, DeployedModel, Deployment
from stack.serving.envoy_process import envoy_binary
from stack.serving.gateway import Addresses, Pool, Served, render_envoy
from stack.serving.helm_binary import HelmError, render
from stack.serving.helm_pools import lay_out_pods
from stack.serving.helm_values import CHART_NAME, cluster_addresses, deployment_values, values_yaml
from stack.serving.keys import ApiKey, hash_key, write_keys
from stack.serving.plan import inventory_hardware
from stack.serving.policy import GatewayPolicy, Routing, Tracing, load_policy

pytestmark = pytest.mark.slow

MODELS = CHART / "ci" / "models.yaml"
SMALL = "smollm2-135m-instruct"
DEPLOYMENT = Deployment(
    models=(
        DeployedModel(model=SMALL, name="small", replicas=2, canary=Canary(model=SMALL, max_model_len=4096, percent=5)),
        DeployedModel(model=SMALL, name="vectors", task="embed"),
    )
)
ENGINES = ("engine", "engine-pool-2", "engine-pool-3")
PREFIXED = load_policy().model_copy(update={"routing": Routing(by="prefix")})


def made(policy: GatewayPolicy | None = None, deployment: Deployment = DEPLOYMENT, machine: str = "cpu") -> dict[str, Any]:
    inventory = Inventory.model_validate_json((ROOT / "tests" / "data" / "machines" / f"{machine}.json").read_text())
    return deployment_values(lay_out_pods(deployment, inventory_hardware(inventory)), policy or load_policy())


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("values") / "models.yaml"
    path.write_text(values_yaml(made()))
    return path


@pytest.fixture
def stack(manifests: Renderer, values: Path, kube: str) -> list[Manifest]:
    return manifests(values, SITE, MODELS, kube=kube)


def test_every_object_is_valid_and_every_pod_confined(stack: list[Manifest], kube: str) -> None:
    assert [fault for each in stack for fault in schema_faults(each, kube)] == []
    pods = pod_specs(stack)
    assert [fault for name, pod in pods.items() for fault in (*restricted_faults(pod), *project_faults(pod, serves=not name.startswith("Job/")))] == []


def models_faults(stack: list[Manifest]) -> list[str]:
    """Each pool has its workload, account, budget and Service, runs its own plan with its own weights, and is reached by the gateway alone."""
    faults, policies = [], [each for each in stack if each["kind"] == "NetworkPolicy"]
    expected = made()
    plans = {"engine": expected["engine"], **expected["pools"]}
    weights = {"engine": ("models", SMALL), "engine-pool-2": ("models", SMALL), "engine-pool-3": ("vector-models", "vectors/current")}
    config = yaml.load(one(stack, "ConfigMap", "stackproof-gateway")["data"]["envoy.yaml"], yaml.CSafeLoader)
    gateway = Party(one(stack, "Deployment", "stackproof-gateway")["spec"]["template"]["metadata"]["labels"])
    clusters = {each["name"] for each in config["static_resources"]["clusters"]} - {"policy"}
    faults += [f"Envoy knows {sorted(clusters)}"] if clusters != set(ENGINES) else []
    whole = {"Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"}
    kinds = {name: {each["kind"] for each in stack if each["metadata"]["name"] == f"stackproof-{name}"} for name in ENGINES}
    if incomplete := [f"{name}: {sorted(found)}" for name, found in kinds.items() if found != whole]:
        return faults + incomplete
    for name in ENGINES:
        deployment, engine = one(stack, "Deployment", f"stackproof-{name}")["spec"], container(stack, name)
        labels = deployment["template"]["metadata"]["labels"]
        model = mounted(stack, name)["/models/served"]
        found = (model["persistentVolumeClaim"]["claimName"], model["mount"].get("subPath"))
        faults += [f"{name}: weights of {found}"] if found != weights[name] or not model["mount"]["readOnly"] else []
        faults += [f"{name}: another plan"] if engine["args"] != plans[name]["args"] else []
        faults += [f"{name}: another size"] if engine["resources"] != plans[name]["resources"] else []
        faults += [f"{name}: {deployment['replicas']} engines"] if deployment["replicas"] != plans[name].get("replicas", 1) else []
        selectors = [deployment["selector"]["matchLabels"], one(stack, "Service", f"stackproof-{name}")["spec"]["selector"]]
        selectors.append(one(stack, "PodDisruptionBudget", f"stackproof-{name}")["spec"]["selector"]["matchLabels"])
        chosen = [{other for other in ENGINES if selector.items() <= pod_labels(stack, other).items()} for selector in selectors]
        faults += [f"{name}: selectors choose {chosen}"] if chosen != [{name}] * 3 else []
        pod = pod_specs(stack)[f"Deployment/stackproof-{name}"]
        faults += [f"{name}: account {pod['serviceAccountName']}"] if pod["serviceAccountName"] != f"stackproof-{name}" else []
        faults += [f"the gateway does not reach {name}"] if not reaches(policies, gateway, Party(labels), 8000) else []
        others = [Party(pod_labels(stack, other)) for other in (*ENGINES, "authz") if other != name]
        near = [*others, Party({"app": "other"}), Party(gateway.labels, namespace="elsewhere")]
        faults += [f"{name} is reached by others"] if any(reaches(policies, other, Party(labels), 8000) for other in near) else []
        faults += [f"{name} reaches others"] if any(reaches(policies, Party(labels), other, port) for other in others for port in (8000, 8080, 9000)) else []
    listed = [each["id"] for each in json.loads(one(stack, "ConfigMap", "stackproof-authz")["data"].get("models.json", "[]"))]
    faults += [f"the policy service knows {listed}"] if listed != ["small", "vectors"] else []
    return faults + ([] if "--models=/etc/stackproof/models.json" in container(stack, "authz")["args"] else ["the policy service is not told of the models"])


def pod_labels(stack: list[Manifest], component: str) -> dict[str, str]:
    return dict(one(stack, "Deployment", f"stackproof-{component}")["spec"]["template"]["metadata"]["labels"])


def test_each_pool_is_whole_its_own_and_reached_by_the_gateway_alone(stack: list[Manifest]) -> None:
    assert models_faults(stack) == []


TO_EACH = '{{- include "stackproof.peer" (dict "root" $ "component" .component) | nindent 8 }}'
FROM_GATEWAY = '{{- include "stackproof.peer" (dict "root" $ "component" "gateway") | nindent 8 }}'
CHOSEN, CHOSEN_ALIKE = (f'"component" {component}) | nindent 4 }}}}\n  ports' for component in ("$engine.component", '"engine"'))
BREAKAGES = {
    "one pool for all": ("engine/_engine.tpl", "range $name, $pool := .Values.pools", "range $name, $pool := dict", "engine-pool-2: []"),
    "the first pool's arguments": ("engine/_engine.tpl", "not (hasKey $engine $key)", "true", "engine-pool-2: another plan"),
    "the first pool's weights": ("engine/_engine.tpl", '"subPath" $pool.model.subPath', '"subPath" $.Values.model.subPath', "engine-pool-3: weights of"),
    "the first pool's claim": ("engine/_engine.tpl", "$pool.model.existingClaim | default ", "", "engine-pool-3: weights of"),
    "a Service that leads to another": ("engine/service.yaml", CHOSEN, CHOSEN_ALIKE, "engine-pool-2: selectors choose"),
    "a gateway that reaches the first alone": ("gateway/networkpolicy.yaml", TO_EACH, TO_EACH.replace(".component", '"engine"'), "not reach engine-pool-2"),
    "an engine that is open": ("engine/networkpolicy.yaml", FROM_GATEWAY, "- podSelector: {}", "engine-pool-3 is reached by others"),
    "no list": ("authz/configmap.yaml", "with .Values.authz.models", 'with ""', "the policy service knows []"),
    "a list that is not told": ("authz/_authz.tpl", "if .Values.authz.models", "if false", "is not told of the models"),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_line_of_the_chart_that_is_broken_turns_the_check_red(breakage: str, values: Path, helm: Path, tmp_path: Path) -> None:
    name, line, broken, words = BREAKAGES[breakage]
    shutil.copytree(CHART, tmp_path / "chart")
    template = tmp_path / "chart" / "templates" / name
    assert template.read_text().count(line) == 1, "the line that is to be broken is not there, or is there twice"
    template.write_text(template.read_text().replace(line, broken))
    text = render(helm, tmp_path / "chart", [values, SITE, MODELS], release="demo", namespace="stack", kube_version=KUBE_VERSIONS[-1])
    faults = models_faults([document for document in yaml.load_all(text, yaml.CSafeLoader) if document])
    assert [fault for fault in faults if words in fault], faults


def test_a_pool_keeps_what_the_site_says_of_it_and_has_the_rest_of_engine(stack: list[Manifest]) -> None:
    pods = pod_specs(stack)
    assert pods["Deployment/stackproof-engine-pool-3"]["nodeSelector"] == {"example.com/pool": "small"}
    assert "nodeSelector" not in pods["Deployment/stackproof-engine-pool-2"]
    first, last = container(stack, "engine"), container(stack, "engine-pool-3")
    assert [last[probe] for probe in ("startupProbe", "readinessProbe", "livenessProbe")] == [
        first[probe] for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    ]
    assert last["args"][-4:] == ["--runner", "pooling", "--convert", "embed"]


def test_a_pool_without_a_gpu_does_not_get_that_of_the_first(manifests: Renderer, tmp_path: Path) -> None:
    mixed = {**made(machine="cuda"), "pools": made()["pools"]}
    (tmp_path / "mixed.yaml").write_text(values_yaml(mixed))
    stack = manifests(tmp_path / "mixed.yaml", SITE, MODELS)
    assert "nvidia.com/gpu" in container(stack, "engine")["resources"]["limits"]
    assert "nvidia.com/gpu" not in container(stack, "engine-pool-2")["resources"]["limits"]


def test_monitoring_finds_the_engines_of_every_pool(manifests: Renderer, values: Path) -> None:
    stack = manifests(values, SITE, MODELS, CHART / "ci" / "monitoring.yaml")
    assert {each["metadata"]["name"] for each in stack if each["kind"] == "PodMonitor"} == {f"stackproof-{name}" for name in ENGINES}


def test_envoy_gets_the_configuration_that_the_same_pools_have_on_one_machine(stack: list[Manifest]) -> None:
    served = (Served(model="small", pool="engine", canary="engine-pool-2", canary_percent=5), Served(model="vectors", pool="engine-pool-3"))
    pools = tuple(Pool(name=name, engines=(f"{CHART_NAME}-{name}:8000",)) for name in ENGINES)
    addresses: Addresses = cluster_addresses(CHART_NAME).model_copy(update={"pools": pools, "models": served})
    config = yaml.load(one(stack, "ConfigMap", "stackproof-gateway")["data"]["envoy.yaml"], yaml.CSafeLoader)
    assert config["static_resources"]["listeners"].pop()["name"] == "probe"
    assert config == render_envoy(load_policy(), addresses)


@pytest.mark.parametrize("policy", [load_policy(), PREFIXED])
def test_the_real_envoy_accepts_it(policy: GatewayPolicy, tmp_path: Path) -> None:
    (tmp_path / "envoy.yaml").write_text(made(policy)["gateway"]["config"])
    done = subprocess.run([envoy_binary(), "-c", tmp_path / "envoy.yaml", "--mode", "validate"], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr


# vLLM's own parser, and what it made of the arguments.
PARSE = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser())
json.dump([vars(parser.parse_args(arguments)) for arguments in json.load(sys.stdin)], sys.stdout, default=str)
"""


def test_the_engine_itself_takes_the_arguments_of_every_pool_those_for_spans_and_vectors_included() -> None:
    traced = load_policy().model_copy(update={"tracing": Tracing(endpoint="http://otel-collector.observability:4318/v1/traces")})
    values = made(traced)
    given = [values["engine"]["args"], *(pool["args"] for pool in values["pools"].values())]
    done = subprocess.run([sys.executable, "-c", PARSE], input=json.dumps(given), capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr[-2000:]
    parsed = json.loads(done.stdout[done.stdout.index("[{") :])
    assert {each["otlp_traces_endpoint"] for each in parsed} == {"http://otel-collector.observability:4318/v1/traces"}
    assert [(each["served_model_name"], each["max_model_len"], each["runner"]) for each in parsed] == [
        (["small"], 8192, "auto"),
        (["small"], 4096, "auto"),
        (["vectors"], 8192, "pooling"),
    ]


def test_values_are_the_same_at_every_rendering_and_of_one_model_as_ever() -> None:
    assert made() == made()
    alone = made(deployment=Deployment(models=(DeployedModel(model=SMALL, replicas=3),)))
    assert (alone["engine"]["replicas"], "pools" in alone) == (3, False)
    assert alone["gateway"]["config"] == values_yaml(render_envoy(load_policy(), cluster_addresses(CHART_NAME)))
    assert [each["id"] for each in json.loads(alone["authz"]["models"])] == [SMALL]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"engine": {}}, "/pools"),
        ({"engine-pool-2": {"args": ["--api-key", "canary"]}}, "/pools/engine-pool-2/args/0"),
        ({"engine-pool-2": {"port": 9}}, "/pools/engine-pool-2"),
        ({"engine-pool-2": {"model": {"subPath": "../other"}}}, "/pools/engine-pool-2/model/subPath"),
    ],
)
def test_a_pool_that_the_schema_does_not_allow_is_refused_by_name(manifests: Renderer, values: Path, tmp_path: Path, given: dict[str, Any], words: str) -> None:
    (tmp_path / "more.yaml").write_text(yaml.safe_dump({"pools": given}))
    with pytest.raises(HelmError) as refused:
        manifests(values, SITE, MODELS, tmp_path / "more.yaml")
    assert words in str(refused.value)


@dataclass(frozen=True)
class Running:
    url: str
    reached: dict[str, list[tuple[dict[str, str], bytes]]]

    def ask(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        head = {"authorization": "Bearer sp-client", **headers}
        # Not over TLS: to read the system's authorities for each of hundreds of requests would take longer than to answer them.
        return httpx.request("GET" if body is None else "POST", self.url + path, json=body, headers=head, trust_env=False, timeout=20, verify=False)

    def counts(self, ask: Callable[[], object], times: int = 1) -> dict[str, int]:
        """How many requests reached which pool."""
        for requests in self.reached.values():
            requests.clear()
        for _ in range(times):
            ask()
        return {name: len(requests) for name, requests in self.reached.items() if requests}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, manifests: Renderer, values: Path) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("site")
    write_keys(folder / "keys.json", (ApiKey(tenant="clinic", sha256=hash_key("sp-client")),))
    objects = {"stackproof-client-keys": {"keys.json": (folder / "keys.json").read_bytes()}, "stackproof-engine-key": {"engine-key": b"sp-engine"}}
    with ExitStack() as parts:
        root = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="pods-")))
        reached: dict[str, list[tuple[dict[str, str], bytes]]] = {name: [] for name in ENGINES}
        services = {f"stackproof-{name}:8000": parts.enter_context(start_engine_stub(reached[name])) for name in ENGINES}
        pods = Pods(manifests(values, SITE, MODELS), root, objects, services)
        parts.enter_context(pods.policy_service())
        pods.services["stackproof-authz:9000"] = pods.port(9000)
        parts.enter_context(pods.gateway())
        yield Running(f"http://127.0.0.1:{pods.port(8080)}", reached)


CHAT: dict[str, Any] = {"model": "small", "messages": [{"role": "user", "content": "Hello"}]}


def test_a_request_reaches_the_engines_of_the_model_it_names(running: Running) -> None:
    vectors = {"model": "vectors", "input": "Hello"}
    assert running.counts(lambda: running.ask("/v1/embeddings", vectors)) == {"engine-pool-3": 1}
    assert running.counts(lambda: running.ask("/v1/chat/completions", CHAT, **{"x-canary": "never"}), times=5) == {"engine": 5}
    assert running.counts(lambda: running.ask("/v1/chat/completions", CHAT, **{"x-canary": "always"}), times=5) == {"engine-pool-2": 5}


def test_the_canary_gets_its_share_of_the_rest(running: Running) -> None:
    found = running.counts(lambda: running.ask("/v1/chat/completions", CHAT), times=300)
    assert found.keys() <= {"engine", "engine-pool-2"}
    # Of 300 at 5 %: fewer than 3 or more than 40 come once in 10,000 runs or less.
    assert 3 <= found["engine-pool-2"] <= 40


def test_a_pool_that_fails_takes_the_gateway_from_no_other_model_but_a_policy_service_that_fails_does(
    tmp_path: Path, manifests: Renderer, values: Path
) -> None:
    write_keys(tmp_path / "keys.json", (ApiKey(tenant="clinic", sha256=hash_key("sp-client")),))
    objects = {"stackproof-client-keys": {"keys.json": (tmp_path / "keys.json").read_bytes()}, "stackproof-engine-key": {"engine-key": b"sp-engine"}}
    with ExitStack() as parts:
        root = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="pods-")))
        services = {f"stackproof-{name}:8000": free_port() for name in ENGINES} | {"stackproof-engine:8000": parts.enter_context(start_engine_stub([]))}
        pods = Pods(manifests(values, SITE, MODELS), root, objects, services)
        policy_service = parts.enter_context(pods.policy_service())
        pods.services["stackproof-authz:9000"] = pods.port(9000)
        parts.enter_context(pods.gateway())
        one_left = Running(f"http://127.0.0.1:{pods.port(8080)}", {})
        assert answers(pods.probe_url())
        assert one_left.ask("/healthz").status_code == 503
        assert one_left.ask("/v1/chat/completions", CHAT, **{"x-canary": "never"}).status_code == 200
        assert one_left.ask("/v1/embeddings", {"model": "vectors", "input": "Hello"}).status_code == 503
        policy_service.stop()
        assert not answers(pods.probe_url())


def test_another_name_is_refused_and_the_list_has_the_two_with_their_shorter_context(running: Running) -> None:
    assert running.counts(lambda: running.ask("/v1/chat/completions", {**CHAT, "model": "other"})) == {}
    assert running.ask("/v1/chat/completions", {**CHAT, "model": "other"}).status_code == 404
    assert running.ask("/v1/chat/completions", {**CHAT, "model": "vectors"}).status_code == 400
    listed = {each["id"]: each["max_model_len"] for each in running.ask("/v1/models").json()["data"]}
    assert listed == {"small": 4096, "vectors": 8192}
