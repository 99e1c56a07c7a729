"""What every pod of the chart must hold: Pod Security `restricted` in full, and the project's own rules on top."""

import re
from collections.abc import Iterator
from typing import Any

Manifest = dict[str, Any]
RESTRICTED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
SECCOMP = {"RuntimeDefault", "Localhost"}
AMOUNTS = ("cpu", "memory", "ephemeral-storage")
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def pod_specs(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Pod specs of everything that makes pods, by `Kind/name`."""
    found = {}
    for manifest in manifests:
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        if manifest["kind"] == "Pod":
            found[name] = manifest["spec"]
        elif manifest["kind"] == "CronJob":
            found[name] = manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        elif "template" in manifest.get("spec", {}):
            found[name] = manifest["spec"]["template"]["spec"]
    return found


def restricted_faults(pod: Manifest) -> list[str]:
    """Faults against the Pod Security Standards, level `restricted` (which includes `baseline`)."""
    security = pod.get("securityContext", {})
    faults = [f"{field} is true" for field in ("hostPID", "hostIPC", "hostNetwork") if pod.get(field)]
    faults += [f"volume {volume['name']}: type {kind}" for volume in pod.get("volumes", []) for kind in volume.keys() - {"name"} - RESTRICTED_VOLUMES]
    faults += ["sysctls are set"] if security.get("sysctls") else []
    for container in containers(pod):
        name, own = container["name"], container.get("securityContext", {})
        # A container's value wins over its pod's.
        both = security | own
        checks = {
            "allowPrivilegeEscalation is not false": own.get("allowPrivilegeEscalation") is not False,
            "runAsNonRoot is not true": both.get("runAsNonRoot") is not True,
            "runAsUser is 0": both.get("runAsUser") == 0,
            "seccompProfile is not RuntimeDefault or Localhost": both.get("seccompProfile", {}).get("type") not in SECCOMP,
            "capabilities do not drop ALL": "ALL" not in own.get("capabilities", {}).get("drop", []),
            "capabilities are added": bool(set(own.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}),
            "privileged": bool(own.get("privileged")),
            "procMount is not Default": own.get("procMount", "Default") != "Default",
            "hostPort is set": any(port.get("hostPort") for port in container.get("ports", [])),
            "appArmorProfile is Unconfined": both.get("appArmorProfile", {}).get("type") == "Unconfined",
            "seLinuxOptions set user or role": bool(both.get("seLinuxOptions", {}).keys() & {"user", "role"}),
            "windowsOptions.hostProcess": bool(both.get("windowsOptions", {}).get("hostProcess")),
        }
        faults += [f"container {name}: {fault}" for fault, broken in checks.items() if broken]
    return faults


def project_faults(pod: Manifest, *, serves: bool) -> list[str]:
    """Faults against the project's own rules; `serves` is false for a Job, which has no probes and no drain."""
    security = pod.get("securityContext", {})
    faults = [] if pod.get("automountServiceAccountToken") is False else ["automountServiceAccountToken is not false"]
    faults += [] if pod.get("serviceAccountName") not in (None, "", "default") else ["no service account of its own"]
    faults += [f"{field} is 0 or not set" for field in ("runAsUser", "runAsGroup") if not security.get(field)]
    for volume in pod.get("volumes", []):
        if "emptyDir" in volume and not volume["emptyDir"].get("sizeLimit"):
            faults.append(f"volume {volume['name']}: no sizeLimit")
    for container in containers(pod):
        faults += [f"container {container['name']}: {fault}" for fault in _container_faults(container, pod, serves=serves)]
    return faults


def containers(pod: Manifest) -> Iterator[Manifest]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod.get(kind, [])


def _container_faults(container: Manifest, pod: Manifest, *, serves: bool) -> Iterator[str]:
    if not container.get("securityContext", {}).get("readOnlyRootFilesystem"):
        yield "readOnlyRootFilesystem is not true"
    if not re.search(r"@sha256:[a-f0-9]{64}$|:(?!latest$)[\w.-]+$", container["image"]):
        yield f"image {container['image']} has neither digest nor explicit tag"
    if any("secretKeyRef" in variable.get("valueFrom", {}) for variable in container.get("env", [])) or container.get("envFrom"):
        yield "a secret may be in the environment"
    requests, limits = (container.get("resources", {}).get(kind, {}) for kind in ("requests", "limits"))
    for amount in AMOUNTS:
        if amount not in requests or amount not in limits:
            yield f"{amount} has no request or no limit"
    yield from (f"{device} differs between request and limit" for device in (requests | limits) if "/" in device and requests.get(device) != limits.get(device))
    if serves:
        yield from (f"no {probe}" for probe in PROBES if probe not in container)
        drain_s = _pre_stop_s(container)
        if drain_s is None:
            yield "no preStop"
        elif pod.get("terminationGracePeriodSeconds", 30) <= drain_s:
            yield "grace period ends before preStop does"


def _pre_stop_s(container: Manifest) -> int | None:
    match container.get("lifecycle", {}).get("preStop"):
        case {"sleep": {"seconds": int(seconds)}}:
            return seconds
        case {"exec": {"command": ["sleep", str(seconds)]}}:
            return int(seconds)
    return None
