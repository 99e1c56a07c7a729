"""The schema of KubeRay's RayJob, for the fields that the chart writes and no others.

Our own words, held by hand against the published definition of release 1.7.0 (helm-chart/kuberay-operator/crds/ray.io_rayjobs.yaml of
ray-project/kuberay, version ray.io/v1) and against what its operator refuses (controllers/ray/utils/validation.go). Narrower than those on
purpose: a field that the chart does not write yet is a fault here until it is looked up and added. Pods are left to Kubernetes' own schemas.
"""

from typing import Any

from jsonschema import Draft202012Validator
from kube_schemas import schema_faults
from operator_schemas import METADATA, TEXT, WORDS, Schema, closed, listed

LONGEST_NAME = 47
"""Of a RayJob: what the operator derives from it must fit into a label."""

COUNT: Schema = {"type": "integer", "minimum": 0}
ANY: Schema = {"type": "object"}
POD = closed({"metadata": closed({"labels": WORDS}), "spec": ANY})
AUTOSCALER = closed({}, version={"enum": ["v1", "v2"]}, idleTimeoutSeconds=COUNT, env=listed(ANY), resources=ANY, securityContext=ANY, volumeMounts=listed(ANY))
HEAD = closed({"rayStartParams": WORDS, "template": POD})
WORKERS = closed(
    {"groupName": TEXT, "replicas": COUNT, "minReplicas": COUNT, "maxReplicas": {"type": "integer", "minimum": 1}, "rayStartParams": WORDS, "template": POD}
)
CLUSTER = closed(
    {
        "rayVersion": {"type": "string", "pattern": r"^[0-9]+\.[0-9]+\.[0-9]+$"},
        # The operator's default for no mode is to leave authentication as it is.
        "authOptions": closed({"mode": {"const": "token"}}),
        "headGroupSpec": HEAD,
        "workerGroupSpecs": listed(WORKERS),
    },
    enableInTreeAutoscaling={"type": "boolean"},
    autoscalerOptions=AUTOSCALER,
)
SPEC = closed(
    {
        "entrypoint": TEXT,
        "submissionMode": {"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        "suspend": {"type": "boolean"},
        "shutdownAfterJobFinishes": {"type": "boolean"},
        "ttlSecondsAfterFinished": COUNT,
        "backoffLimit": COUNT,
        "activeDeadlineSeconds": {"type": "integer", "minimum": 1},
        "submitterPodTemplate": POD,
        "rayClusterSpec": CLUSTER,
    }
)
RAY_JOB = closed({"apiVersion": {"const": "ray.io/v1"}, "kind": {"const": "RayJob"}, "metadata": METADATA, "spec": SPEC})


def ray_pods(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The pod templates of a RayJob: `submitter`, `head` and each group of workers by its name."""
    cluster = job["spec"]["rayClusterSpec"]
    groups = {group["groupName"]: group["template"] for group in cluster["workerGroupSpecs"]}
    return {"submitter": job["spec"]["submitterPodTemplate"], "head": cluster["headGroupSpec"]["template"], **groups}


def ray_faults(job: dict[str, Any], version: str) -> list[str]:
    """Every fault as `RayJob/name: field: message`; pods against Kubernetes `version`."""
    name = f"RayJob/{job['metadata']['name']}"
    faults = [f"{name}: {error.json_path}: {error.message}" for error in Draft202012Validator(RAY_JOB).iter_errors(job)]
    if faults:
        return faults
    if len(job["metadata"]["name"]) > LONGEST_NAME:
        faults.append(f"{name}: $.metadata.name: more than {LONGEST_NAME} characters")
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    if spec["ttlSecondsAfterFinished"] and not spec["shutdownAfterJobFinishes"]:
        faults.append(f"{name}: $.spec.ttlSecondsAfterFinished: counts only with shutdownAfterJobFinishes")
    if tuple(map(int, cluster["rayVersion"].split("."))) < (2, 52, 0):
        faults.append(f"{name}: $.spec.rayClusterSpec.rayVersion: has no token authentication before 2.52.0")
    for group in cluster["workerGroupSpecs"]:
        if not group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]:
            faults.append(f"{name}: {group['groupName']}: replicas are not between minReplicas and maxReplicas")
        if group["minReplicas"] != group["maxReplicas"] and not cluster.get("enableInTreeAutoscaling"):
            faults.append(f"{name}: {group['groupName']}: maxReplicas is never reached without the autoscaler")
    for part, template in ray_pods(job).items():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": part, **template["metadata"]}, "spec": template["spec"]}
        faults += [f"{name}: {fault}" for fault in schema_faults(pod, version)]
    return faults
