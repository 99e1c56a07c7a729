"""Labeling pipelines as KubeRay RayJobs: none by default, one object each, confined, with the command line that this project has."""

import copy
import re
import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube_schemas import schema_faults
from machines import CHART, ROOT, SITE, Manifest, Renderer
from pod_rules import project_faults, restricted_faults
from ray_schemas import ray_faults, ray_pods
from reachability import Party, reaches
from typer.main import get_command

from stack.cli.main import app
from stack.pipelines import load_pipeline
from stack.serving.helm_binary import HelmError

pytestmark = pytest.mark.slow

LABELING = CHART / "ci" / "labeling.yaml"


@pytest.fixture
def added(manifests: Renderer, generated: dict[str, Path], kube: str) -> list[Manifest]:
    """What the labeling jobs add to the chart."""
    without = {(each["kind"], each["metadata"]["name"]) for each in manifests(generated["cpu"], SITE, kube=kube)}
    return [each for each in manifests(generated["cpu"], SITE, LABELING, kube=kube) if (each["kind"], each["metadata"]["name"]) not in without]


def of(stack: list[Manifest], kind: str, part: str = "") -> list[Manifest]:
    return [each for each in stack if each["kind"] == kind and part in each["metadata"]["name"]]


def one(stack: list[Manifest], kind: str, part: str = "") -> Manifest:
    (found,) = of(stack, kind, part)
    return found


def entrypoint(job: Manifest) -> dict[str, Any]:
    """The options of `stackproof label run`, as the real command takes them from the words of a shell."""
    program, group, command, *words = shlex.split(job["spec"]["entrypoint"])
    assert (program, group, command) == ("stackproof", "label", "run")
    return dict(get_command(app).commands["label"].commands["run"].make_context("run", words).params)


def mounts(template: Manifest) -> dict[str, Manifest]:
    """Volumes of the only container by mount path, with `readOnly` of the mount."""
    (container,) = template["spec"]["containers"]
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    return {each["mountPath"]: {**volumes[each["name"]], "mount": each} for each in container["volumeMounts"]}


def write(folder: Path, values: dict[str, Any]) -> Path:
    path = folder / "more.yaml"
    path.write_text(yaml.dump(values, Dumper=yaml.CSafeDumper))
    return path


def jobs(**changed: Any) -> dict[str, Any]:
    """The jobs of the example, the first one changed."""
    example = yaml.load(LABELING.read_text(), yaml.CSafeLoader)["labeling"]["jobs"]
    return {"labeling": {"jobs": [{**example[0], **changed}, *example[1:]]}}


def test_nothing_of_it_is_made_by_default_and_one_job_for_each_on_request(added: list[Manifest], manifests: Renderer, generated: dict[str, Path]) -> None:
    assert not [each for each in manifests(generated["cpu"], SITE) if each["kind"] == "RayJob" or "label-" in each["metadata"]["name"]]
    assert sorted(each["kind"] for each in added) == ["ConfigMap", *["NetworkPolicy"] * 2, *["RayJob"] * 2, *["ServiceAccount"] * 2]


def test_every_object_is_valid(added: list[Manifest], kube: str) -> None:
    assert [fault for each in added if each["kind"] != "RayJob" for fault in schema_faults(each, kube)] == []
    assert [fault for job in of(added, "RayJob") for fault in ray_faults(job, kube)] == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("apiVersion",), "ray.io/v1alpha1", "$.apiVersion: 'ray.io/v1' was expected"),
        (("metadata", "name"), "a" * 48, "$.metadata.name: more than 47 characters"),
        (("spec", "submissionMode"), "JobMode", "$.spec.submissionMode: 'JobMode' is not one of"),
        (("spec", "backoffLimit"), "2", "$.spec.backoffLimit: '2' is not of type 'integer'"),
        (("spec", "shutdownAfterJobFinishes"), False, "counts only with shutdownAfterJobFinishes"),
        (("spec", "podTemplate"), {}, "Additional properties are not allowed ('podTemplate' was unexpected)"),
        (("spec", "rayClusterSpec", "authOptions", "mode"), "disabled", "'token' was expected"),
        (("spec", "rayClusterSpec", "rayVersion"), "2.51.1", "no token authentication before 2.52.0"),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"), 0, "0 is not of type 'string'"),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "replicas"), 9, "replicas are not between"),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "maxReplicas"), 9, "maxReplicas is never reached without the autoscaler"),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "container"), [], "Pod/head: $.spec: Additional properties"),
    ],
)
def test_a_fault_in_a_ray_job_turns_the_check_red(added: list[Manifest], kube: str, path: tuple[str | int, ...], value: object, words: str) -> None:
    changed: Any = copy.deepcopy(one(added, "RayJob", "triage"))
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert [fault for fault in ray_faults(changed, kube) if words in fault] != []


def test_the_command_is_the_one_of_this_project_against_the_gateway(added: list[Manifest]) -> None:
    taken = entrypoint(one(added, "RayJob", "triage"))
    assert (taken["pipeline"], taken["out"], taken["url"]) == ("/pipeline/pipeline.yaml", Path("/out/triage"), "http://stackproof-gateway:8080")
    assert (taken["executor"], taken["api_key_file"]) == ("ray", Path("/run/secrets/stackproof/api-key"))


def test_an_endpoint_elsewhere_without_a_key_and_further_options(added: list[Manifest]) -> None:
    taken = entrypoint(one(added, "RayJob", "archive"))
    assert (taken["out"], taken["url"], taken["api_key_file"]) == (Path("/out/archive/2026"), "https://models.example/engine", None)
    assert taken["max_tokens"] == 5_000_000


def test_head_and_workers_have_the_same_files_in_the_same_places(added: list[Manifest]) -> None:
    pods = ray_pods(one(added, "RayJob", "triage"))
    head, workers = mounts(pods["head"]), mounts(pods["workers"])
    assert head == workers
    assert head["/out"]["persistentVolumeClaim"] == {"claimName": "labels"}
    assert not head["/out"]["mount"]["readOnly"]
    assert head["/data"]["persistentVolumeClaim"] == {"claimName": "messages", "readOnly": True}
    assert (head["/data"]["mount"]["subPath"], head["/data"]["mount"]["readOnly"]) == ("inbox", True)
    assert head["/run/secrets/stackproof"]["secret"]["secretName"] == "stackproof-label-key"
    assert head["/run/secrets/stackproof"]["secret"]["items"] == [{"key": "client-key", "path": "api-key"}]
    assert set(mounts(pods["submitter"])) == {"/tmp"}


def test_the_pipeline_is_the_text_of_the_values_or_a_config_map_that_is_there(added: list[Manifest], tmp_path: Path) -> None:
    config = one(added, "ConfigMap")
    assert mounts(ray_pods(one(added, "RayJob", "triage"))["head"])["/pipeline"]["configMap"]["name"] == config["metadata"]["name"]
    (tmp_path / "pipeline.yaml").write_text(config["data"]["pipeline.yaml"])
    assert load_pipeline(str(tmp_path / "pipeline.yaml")).labels == ("water", "roads", "schools")
    other = mounts(ray_pods(one(added, "RayJob", "archive"))["head"])["/pipeline"]["configMap"]
    assert other == {"name": "archive-pipeline", "items": [{"key": "archive.yaml", "path": "pipeline.yaml"}]}


def test_every_pod_is_restricted_and_holds_the_projects_rules(added: list[Manifest]) -> None:
    pods = {f"{job['metadata']['name']} {part}": template["spec"] for job in of(added, "RayJob") for part, template in ray_pods(job).items()}
    assert len(pods) == 6
    assert [(name, fault) for name, pod in pods.items() for fault in (*restricted_faults(pod), *project_faults(pod, serves=False))] == []
    accounts = {each["metadata"]["name"]: each for each in of(added, "ServiceAccount")}
    assert {pod["serviceAccountName"] for pod in pods.values()} == set(accounts)
    assert not any(each["automountServiceAccountToken"] for each in accounts.values())
    # A job's pod without a restart policy of its own would be refused by Kubernetes.
    assert {pod.get("restartPolicy") for name, pod in pods.items() if name.endswith("submitter")} == {"Never"}


def test_labels_that_kuberay_owns_are_left_to_it(added: list[Manifest]) -> None:
    """The Services that the operator makes select the head by its own name label."""
    for job in of(added, "RayJob"):
        for template in ray_pods(job).values():
            assert template["metadata"]["labels"]["app.kubernetes.io/name"] == "kuberay"
            assert not [label for label in template["metadata"]["labels"] if label.startswith("ray.io/")]


def test_workers_are_of_a_fixed_number_or_between_two(added: list[Manifest]) -> None:
    fixed, grown = (one(added, "RayJob", part)["spec"]["rayClusterSpec"] for part in ("triage", "archive"))
    assert "enableInTreeAutoscaling" not in fixed
    assert (fixed["workerGroupSpecs"][0]["replicas"], fixed["workerGroupSpecs"][0]["maxReplicas"]) == (2, 2)
    assert grown["enableInTreeAutoscaling"] is True
    assert (grown["workerGroupSpecs"][0]["replicas"], grown["workerGroupSpecs"][0]["maxReplicas"]) == (1, 8)
    # The head runs no shards: `RayExecutor` counts the cluster's CPUs.
    assert {cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] for cluster in (fixed, grown)} == {"0"}


def test_only_the_autoscaler_has_a_token(added: list[Manifest]) -> None:
    cluster = one(added, "RayJob", "archive")["spec"]["rayClusterSpec"]
    pods = ray_pods(one(added, "RayJob", "archive"))
    tokens = {part: [volume["name"] for volume in each["spec"]["volumes"] if "projected" in volume] for part, each in pods.items()}
    assert tokens == {"submitter": [], "head": ["credentials"], "workers": []}
    assert not [each for part in pods.values() for path, each in mounts(part).items() if "serviceaccount" in path or each["name"] == "credentials"]
    options = cluster["autoscalerOptions"]
    assert {each["mountPath"]: each["name"] for each in options["volumeMounts"]}["/var/run/secrets/kubernetes.io/serviceaccount"] == "credentials"
    assert {each["name"] for each in options["volumeMounts"]} <= {volume["name"] for volume in pods["head"]["spec"]["volumes"]}
    image = pods["head"]["spec"]["containers"][0]["image"]
    container = {"name": "autoscaler", "image": image, **{key: options[key] for key in ("env", "resources", "securityContext", "volumeMounts")}}
    pod = {**pods["head"]["spec"], "containers": [container]}
    assert [*restricted_faults(pod), *project_faults(pod, serves=False)] == []


def test_exactly_the_meant_connections_are_possible(added: list[Manifest], manifests: Renderer, generated: dict[str, Path]) -> None:
    policies = of(manifests(generated["cpu"], SITE, LABELING), "NetworkPolicy")
    pods = {part: Party(ray_pods(one(added, "RayJob", part))["head"]["metadata"]["labels"]) for part in ("triage", "archive")}
    chart = {"app.kubernetes.io/name": "stackproof", "app.kubernetes.io/instance": "stackproof"}
    others = {
        **{name: Party({**chart, "app.kubernetes.io/component": name}) for name in ("engine", "gateway", "authz", "bench")},
        "operator": Party({"app.kubernetes.io/name": "kuberay-operator"}, namespace="kuberay-operator"),
        "dns": Party({"k8s-app": "kube-dns"}, namespace="kube-system"),
        "neighbour": Party({"app": "other"}),
        "another Ray": Party({"app.kubernetes.io/name": "kuberay"}),
        "endpoint": Party(address="192.0.2.7"),
        "API server": Party(address="10.0.0.1"),
        "metadata service": Party(address="169.254.169.254"),
    }
    ports = (53, 80, 443, 6379, 6443, 8000, 8080, 8265, 9000, 10001)
    everybody = {**pods, **others}
    possible = {
        (source, target, port)
        for source in everybody
        for target in everybody
        if source != target and {source, target} & set(pods)
        for port in ports
        if reaches(policies, everybody[source], everybody[target], port)
    }
    assert possible == {
        ("triage", "gateway", 8080),
        ("triage", "dns", 53),
        ("archive", "dns", 53),
        ("archive", "endpoint", 443),
        ("archive", "API server", 6443),
        ("operator", "triage", 8265),
        ("operator", "archive", 8265),
    }
    # The pods of one job: Ray takes its ports as it finds them.
    assert all(reaches(policies, pod, copy.deepcopy(pod), port) for pod in pods.values() for port in (*ports, 34567))


def test_a_changed_job_is_another_object_and_an_unchanged_one_is_not(
    added: list[Manifest], manifests: Renderer, generated: dict[str, Path], tmp_path: Path
) -> None:
    names = [job["metadata"]["name"] for job in of(added, "RayJob")]
    changed = of(manifests(generated["cpu"], SITE, LABELING, write(tmp_path, jobs(args=["--limit=100"]))), "RayJob")
    assert [job["metadata"]["name"] for job in changed][1] == names[1]
    assert changed[0]["metadata"]["name"] != names[0]
    # Only the object is another one: the folder, and so what is committed there, is the same.
    assert entrypoint(changed[0])["out"] == entrypoint(one(added, "RayJob", "triage"))["out"]


def test_zero_and_an_empty_list_of_a_job_win_over_the_defaults(added: list[Manifest], manifests: Renderer, generated: dict[str, Path], tmp_path: Path) -> None:
    assert one(added, "RayJob", "archive")["spec"]["ttlSecondsAfterFinished"] == 0
    values = {"labeling": {"defaults": {"tolerations": [{"operator": "Exists"}], "backoffLimit": 5}, **jobs(tolerations=[], backoffLimit=0)["labeling"]}}
    first, second = of(manifests(generated["cpu"], SITE, LABELING, write(tmp_path, values)), "RayJob")
    assert (first["spec"]["backoffLimit"], second["spec"]["backoffLimit"]) == (0, 5)
    assert "tolerations" not in ray_pods(first)["head"]["spec"]
    assert ray_pods(second)["workers"]["spec"]["tolerations"] == [{"operator": "Exists"}]


def test_the_version_of_ray_is_the_locked_one() -> None:
    values = yaml.load((CHART / "values.yaml").read_text(), yaml.CSafeLoader)
    assert values["labeling"]["rayVersion"] == version("ray")


def test_the_documented_values_render(manifests: Renderer, generated: dict[str, Path], tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "labeling-on-kubernetes.md").read_text(), flags=re.DOTALL)
    (tmp_path / "documented.yaml").write_text(example)
    job = one(manifests(generated["cpu"], SITE, tmp_path / "documented.yaml"), "RayJob")
    assert ray_faults(job, "1.37.0") == []
    assert entrypoint(job)["pipeline"] == "/pipeline/pipeline.yaml"


WORKERS = {"resources": {kind: {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"} for kind in ("requests", "limits")}}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"images": {"ray": {"digest": ""}}}, "images.ray.digest: set sha256:"),
        ({"labeling": {"operator": []}}, "labeling.operator: name the pods of the KubeRay operator"),
        ({"labeling": {"apiServer": {"cidrs": []}}}, "labeling.apiServer.cidrs: name the API server's addresses for the autoscaler of labeling.jobs[archive]"),
        (jobs(url="https://models.example"), "labeling.jobs[triage].egress: name peers and ports of https://models.example"),
        (jobs(name="archive"), "labeling.jobs[archive].name: it stands twice"),
        (jobs(name="messages-of-the-year-2026-to"), "KubeRay takes 47, choose a shorter one"),
        (jobs(workers={"min": 4, "max": 2, **WORKERS}), "labeling.jobs[triage].workers.max: set it to 4 or more"),
        (jobs(workers={"min": 0, "max": 2, **WORKERS}), "/labeling/jobs/0/workers/min"),
        (jobs(out={"existingClaim": "", "path": "triage"}), "/labeling/jobs/0/out/existingClaim"),
        (jobs(out={"existingClaim": "labels", "path": "../models"}), "/labeling/jobs/0/out/path"),
        (jobs(out={"existingClaim": "labels", "path": "a; rm -rf b"}), "/labeling/jobs/0/out/path"),
        (jobs(args=["--limit=$(id)"]), "/labeling/jobs/0/args/0"),
        (jobs(args=["--api-key-file=/tmp/key"]), "/labeling/jobs/0/args/0"),
        (jobs(url="http://gateway:8080/$HOME"), "/labeling/jobs/0/url"),
        (jobs(pipeline={}), "/labeling/jobs/0/pipeline"),
        (jobs(pipeline={"text": "name: a", "configMap": {"name": "a", "key": "b"}}), "/labeling/jobs/0/pipeline"),
        (jobs(replicas=2), "replicas"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_it(
    manifests: Renderer, generated: dict[str, Path], tmp_path: Path, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(HelmError) as refused:
        manifests(generated["cpu"], SITE, LABELING, write(tmp_path, values))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
