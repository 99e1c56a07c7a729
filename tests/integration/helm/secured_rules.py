"""What must hold of a rendering with certificates, key sets, pseudonyms, traces and an audit log: every fault in words, so that a broken one shows."""

from pathlib import Path
from typing import Any

import yaml
from machines import Manifest
from pod_rules import pod_specs
from reachability import Party, reaches
from secured import COLLECTOR

from stack.serving.policy import parse_policy

Told = dict[str, Any]
MOUNTS: dict[tuple[str, str], Told] = {
    ("gateway", "/run/secrets/stackproof/tls"): {"secret": "gateway-tls", "files": {"tls.crt": "tls.crt", "tls.key": "tls.key"}},
    ("gateway", "/run/trust/stackproof/client-ca"): {"configMap": "client-authority", "files": {"clients.pem": "ca.crt"}},
    **{
        (component, "/run/trust/stackproof/collector-ca"): {"configMap": "collector-authority", "files": {"authority.pem": "ca.crt"}}
        for component in ("gateway", "engine")
    },
    ("authz", "/run/trust/stackproof/key-sets"): {"configMap": "login-keys", "files": {"login.jwks": "login.jwks", "partner.jwks": "partner.jwks"}},
    ("authz", "/run/secrets/stackproof/pseudonyms"): {"secret": "stackproof-pseudonyms", "files": {"pii.key": "pii.key"}},
}
"""From where each file comes, by pod and folder."""
OBJECTS = {
    "engine": {"stackproof-engine-key", "collector-authority"},
    "gateway": {"stackproof-gateway", "gateway-tls", "client-authority", "collector-authority"},
    "authz": {"stackproof-authz", "stackproof-engine-key", "stackproof-client-keys", "login-keys", "stackproof-pseudonyms"},
}
"""All that a pod gets."""
TRUSTED = "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE"
COLLECTORS = Party({"app.kubernetes.io/name": "otel-collector"}, namespace="observability")
OTHERS = {
    "the collector's neighbour": Party({"app.kubernetes.io/name": "jaeger"}, namespace="observability"),
    "a look-alike": Party(COLLECTORS.labels, namespace="elsewhere"),
    "the internet": Party(address="93.184.215.14"),
    "the metadata service": Party(address="169.254.169.254"),
}
DNS = Party({"k8s-app": "kube-dns"}, namespace="kube-system")
STRANGERS = {**OTHERS, "an ingress": Party({"app.kubernetes.io/name": "ingress-controller"}, namespace="ingress"), "the collector": COLLECTORS}
PORTS = ((4318, "TCP"), (4317, "TCP"), (443, "TCP"), (53, "UDP"), (53, "TCP"))


def secured_faults(stack: list[Manifest]) -> list[str]:
    return [*mount_faults(stack), *path_faults(stack), *port_faults(stack), *span_faults(stack), *way_faults(stack), *audit_faults(stack)]


def one(stack: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [each for each in stack if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def container(stack: list[Manifest], component: str) -> dict[str, Any]:
    return dict(pod_specs(stack)[f"Deployment/stackproof-{component}"]["containers"][0])


def mounted(stack: list[Manifest], component: str) -> dict[str, Manifest]:
    """Volumes by mount path, with the mount."""
    pod = pod_specs(stack)[f"Deployment/stackproof-{component}"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    return {mount["mountPath"]: {**volumes[mount["name"]], "mount": mount} for mount in pod["containers"][0]["volumeMounts"]}


def mount_faults(stack: list[Manifest]) -> list[str]:
    """Each file from the object the site named, read-only, following changes, and in no other pod."""
    faults = []
    for (component, path), meant in MOUNTS.items():
        found = mounted(stack, component).get(path)
        if found is None:
            faults.append(f"{component}: nothing is mounted at {path}")
            continue
        source = found.get("secret") or found["configMap"]
        kind = "secret" if "secret" in found else "configMap"
        told = {kind: source.get("secretName") or source["name"], "files": {item["key"]: item["path"] for item in source.get("items", ())}}
        faults += [f"{component}: {path} comes from {told}"] if told != meant else []
        faults += [f"{component}: {path} can be written"] if found["mount"]["readOnly"] is not True else []
        faults += [f"{component}: {path} does not follow its object"] if "subPath" in found["mount"] else []
        faults += [f"{component}: {path} has another mode than 0440"] if kind == "secret" and source.get("defaultMode") != 0o440 else []
    for component, meant_objects in OBJECTS.items():
        volumes = pod_specs(stack)[f"Deployment/stackproof-{component}"]["volumes"]
        got = {source.get("secretName") or source["name"] for volume in volumes if (source := volume.get("secret") or volume.get("configMap"))}
        faults += [f"{component}: gets {name}" for name in sorted(got - meant_objects)]
    return faults


def path_faults(stack: list[Manifest]) -> list[str]:
    """Whatever names a file names it where it is mounted."""
    places, data = {component: set(mounted(stack, component)) for component in OBJECTS}, one(stack, "ConfigMap", "stackproof-gateway")["data"]
    policy = parse_policy(one(stack, "ConfigMap", "stackproof-authz")["data"]["policy.yaml"], source="ConfigMap")
    named = [*(issuer.key_set for issuer in policy.issuers), *(rules.key_file for each in policy.classes if (rules := policy.redact_of(each)))]
    faults = [f"authz: {path} is not mounted" for path in named if str(Path(str(path)).parent) not in places["authz"]]
    for name in ("sds-certificate.yaml", "sds-client-ca.yaml"):
        if f"/etc/stackproof/{name}" not in data["envoy.yaml"] or name not in data:
            faults.append(f"gateway: Envoy is not given {name}")
            continue
        (resource,) = yaml.load(data[name], yaml.CSafeLoader)["resources"]
        secret = resource.get("tls_certificate") or resource["validation_context"]
        folders = {secret["watched_directory"]["path"], *(str(Path(each["filename"]).parent) for each in secret.values() if "filename" in each)}
        faults += [f"gateway: {name} names {folder}, which is not mounted" for folder in sorted(folders - places["gateway"])]
    clusters = yaml.safe_load(data["envoy.yaml"])["static_resources"]["clusters"]
    (collector,) = [each["transport_socket"]["typed_config"] for each in clusters if each["name"] == "collector"]
    trusted = collector["common_tls_context"]["validation_context"]["trusted_ca"]["filename"]
    for component, path in (("gateway", trusted), ("engine", _variables(stack)[TRUSTED].get("value", ""))):
        faults += [f"{component}: {path} is not mounted"] if str(Path(path).parent) not in places[component] or Path(path).name != "ca.crt" else []
    return faults


def port_faults(stack: list[Manifest]) -> list[str]:
    """The Service leads to the listener alone, and the kubelet has its own port, which nobody else reaches."""
    gateway, service = container(stack, "gateway"), one(stack, "Service", "stackproof-gateway")["spec"]
    faults = []
    if {each["name"]: each["containerPort"] for each in gateway["ports"]} != {"https": 8080, "probe": 8081}:
        faults.append(f"gateway: ports {gateway['ports']}")
    if [(port["name"], port["port"], port["targetPort"], port.get("appProtocol")) for port in service["ports"]] != [("https", 8080, "https", "https")]:
        faults.append(f"Service: ports {service['ports']}")
    if gateway["readinessProbe"].get("httpGet") != {"path": "/healthz", "port": "probe"}:
        faults.append(f"gateway: readiness by {gateway['readinessProbe']}")
    faults += [f"gateway: {probe} at another port" for probe in ("startupProbe", "livenessProbe") if gateway[probe].get("tcpSocket") != {"port": "https"}]
    policies, target = _policies(stack), _party(stack, "gateway")
    faults += [f"{name} reaches the kubelet's port" for name, party in STRANGERS.items() if reaches(policies, party, target, 8081)]
    faults += [] if reaches(policies, STRANGERS["an ingress"], target, 8080) else ["the named clients do not reach the gateway"]
    return faults


def span_faults(stack: list[Manifest]) -> list[str]:
    """The engine sends its spans to the gateway's collector, and says which pod on which node it is."""
    engine = container(stack, "engine")
    faults = [] if engine["args"][-2:] == ["--otlp-traces-endpoint", f"https://{COLLECTOR}/v1/traces"] else ["engine: no collector in its arguments"]
    variables = _variables(stack)
    names = list(variables)
    attributes = "OTEL_RESOURCE_ATTRIBUTES"
    if variables.get(attributes, {}).get("value") != "service.instance.id=$(POD_NAME),host.name=$(NODE_NAME)":
        faults.append(f"engine: {attributes} {variables.get(attributes)}")
    for name, path in (("POD_NAME", "metadata.name"), ("NODE_NAME", "spec.nodeName")):
        if variables.get(name, {}).get("valueFrom") != {"fieldRef": {"fieldPath": path}}:
            faults.append(f"engine: {name} is not {path}")
        elif attributes in names and names.index(name) > names.index(attributes):
            faults.append(f"engine: {name} stands behind {attributes}, which it is put into only before")
    return faults


def way_faults(stack: list[Manifest]) -> list[str]:
    """Gateway and engine reach the collector at its one port, and names; nobody reaches anything more."""
    policies = _policies(stack)
    parties = {"the collector": COLLECTORS, "DNS": DNS, **OTHERS}
    meant = {(who, "the collector", 4318, "TCP") for who in ("engine", "gateway")}
    meant |= {(who, "DNS", 53, protocol) for who in ("engine", "gateway") for protocol in ("UDP", "TCP")}
    opened = {
        (who, name, port, protocol)
        for who in OBJECTS
        for name, party in parties.items()
        for port, protocol in PORTS
        if reaches(policies, _party(stack, who), party, port, protocol=protocol)
    }
    faults = [f"{who} does not reach {name} at {port}/{protocol}" for who, name, port, protocol in sorted(meant - opened)]
    faults += [f"{who} reaches {name} at {port}/{protocol}" for who, name, port, protocol in sorted(opened - meant)]
    return faults + [
        f"the collector reaches {who}" for who in OBJECTS for port in (8000, 8080, 9000) if reaches(policies, COLLECTORS, _party(stack, who), port)
    ]


def audit_faults(stack: list[Manifest]) -> list[str]:
    """A file for each pod, on the volume that the site named."""
    authz, volume = container(stack, "authz"), mounted(stack, "authz").get("/audit", {})
    faults = [] if "--audit-log=/audit/$(POD_NAME).jsonl" in authz["args"] else ["authz: no audit log of its own"]
    named = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    faults += [] if named in authz.get("env", []) else ["authz: does not know its pod's name"]
    if (volume.get("persistentVolumeClaim"), volume.get("mount", {}).get("readOnly")) != ({"claimName": "audit"}, False):
        faults.append(f"authz: the audit log goes to {volume}")
    return faults


def _variables(stack: list[Manifest]) -> dict[str, Manifest]:
    """The engine's environment, in its order."""
    return {each["name"]: each for each in container(stack, "engine")["env"]}


def _policies(stack: list[Manifest]) -> list[Manifest]:
    return [each for each in stack if each["kind"] == "NetworkPolicy"]


def _party(stack: list[Manifest], component: str) -> Party:
    return Party(one(stack, "Deployment", f"stackproof-{component}")["spec"]["template"]["metadata"]["labels"])
