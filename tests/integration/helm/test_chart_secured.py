"""A policy that needs files of a site: each comes from an object that the site names, into the pod that needs it and no other."""

import copy
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube_schemas import schema_faults
from machines import CHART, SITE, Manifest, Renderer, plan_for
from pod_rules import pod_specs, project_faults, restricted_faults
from pods_here import Pods
from reachability import Party, reaches
from secured import COLLECTOR, LOGIN, SECURED, without, without_client_ca

from stack.serving.envoy_process import envoy_binary
from stack.serving.helm_binary import HelmError, run_helm
from stack.serving.helm_values import chart_values, values_yaml
from stack.serving.policy import GatewayPolicy, parse_policy

pytestmark = pytest.mark.slow
SITE_SECURED = CHART / "ci" / "secured.yaml"
Values = Callable[[GatewayPolicy], Path]


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Values:
    made: dict[str, Path] = {}

    def write(policy: GatewayPolicy) -> Path:
        text = values_yaml(chart_values(plan_for("cpu"), policy))
        if text not in made:
            made[text] = tmp_path_factory.mktemp("values") / "generated.yaml"
            made[text].write_text(text)
        return made[text]

    return write


@pytest.fixture
def secured(manifests: Renderer, values: Values, kube: str) -> list[Manifest]:
    return manifests(values(SECURED), SITE, SITE_SECURED, kube=kube)


def more(folder: Path, given: dict[str, Any]) -> Path:
    path = folder / "more.yaml"
    path.write_text(yaml.safe_dump(given))
    return path


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


def test_every_object_is_valid_and_every_pod_confined(secured: list[Manifest], kube: str) -> None:
    assert [fault for each in secured for fault in schema_faults(each, kube)] == []
    pods = pod_specs(secured)
    assert [fault for pod in pods.values() for fault in (*restricted_faults(pod), *project_faults(pod, serves=True))] == []


def test_helm_takes_the_values_strictly(values: Values, helm: Path) -> None:
    options = [argument for path in (values(SECURED), SITE, SITE_SECURED) for argument in ("--values", str(path))]
    assert "0 chart(s) failed" in run_helm(helm, ["lint", "--strict", str(CHART), *options])


OBJECTS = {
    ("gateway", "/run/secrets/stackproof/tls"): {"secret": "gateway-tls", "files": {"tls.crt": "tls.crt", "tls.key": "tls.key"}},
    ("gateway", "/run/trust/stackproof/client-ca"): {"configMap": "client-authority", "files": {"clients.pem": "ca.crt"}},
    ("authz", "/run/trust/stackproof/key-sets"): {"configMap": "login-keys", "files": {"login.jwks": "login.jwks", "partner.jwks": "partner.jwks"}},
    ("authz", "/run/secrets/stackproof/pseudonyms"): {"secret": "stackproof-pseudonyms", "files": {"pii.key": "pii.key"}},
}


@pytest.mark.parametrize(("component", "path"), OBJECTS)
def test_files_come_from_the_sites_objects_read_only_and_follow_their_changes(secured: list[Manifest], component: str, path: str) -> None:
    found = mounted(secured, component)[path]
    assert found["mount"]["readOnly"] is True
    assert "subPath" not in found["mount"], "a subPath does not follow its object"
    kind = "secret" if "secret" in found else "configMap"
    source = found[kind]
    told = {kind: source.get("secretName") or source["name"], "files": {item["key"]: item["path"] for item in source["items"]}}
    assert told == OBJECTS[component, path]
    assert kind == "configMap" or source["defaultMode"] == 0o440


def test_no_pod_gets_a_file_that_it_does_not_need(secured: list[Manifest]) -> None:
    got = {
        name.removeprefix("Deployment/stackproof-"): {
            source.get("secretName") or source["name"] for volume in pod["volumes"] if (source := volume.get("secret") or volume.get("configMap"))
        }
        for name, pod in pod_specs(secured).items()
    }
    assert got == {
        "engine": {"stackproof-engine-key"},
        "gateway": {"stackproof-gateway", "gateway-tls", "client-authority"},
        "authz": {"stackproof-authz", "stackproof-engine-key", "stackproof-client-keys", "login-keys", "stackproof-pseudonyms"},
    }


def test_the_policy_in_the_pod_names_the_files_where_they_are_mounted_and_is_the_same_otherwise(secured: list[Manifest]) -> None:
    policy = parse_policy(one(secured, "ConfigMap", "stackproof-authz")["data"]["policy.yaml"], source="ConfigMap")
    places = set(mounted(secured, "authz"))
    named = [*(issuer.key_set for issuer in policy.issuers), *(rules.key_file for each in policy.classes if (rules := policy.redact_of(each)))]
    assert [path for path in named if str(Path(str(path)).parent) not in places] == []
    assert [(issuer.issuer, Path(issuer.key_set).name) for issuer in policy.issuers] == [
        (issuer.issuer, Path(issuer.key_set).name) for issuer in SECURED.issuers
    ]
    changed = {name for name in type(policy).model_fields if getattr(policy, name) != getattr(SECURED, name)}
    assert changed == {"tls", "issuers", "classes"}
    assert policy.classes["trusted"] == SECURED.classes["trusted"]
    assert "/srv/" not in yaml.safe_dump_all(secured)


def test_envoy_is_told_of_certificates_where_they_are_mounted(secured: list[Manifest]) -> None:
    data, places = one(secured, "ConfigMap", "stackproof-gateway")["data"], set(mounted(secured, "gateway"))
    for name in ("sds-certificate.yaml", "sds-client-ca.yaml"):
        assert f"/etc/stackproof/{name}" in data["envoy.yaml"]
        (resource,) = yaml.safe_load(data[name])["resources"]
        secret = resource.get("tls_certificate") or resource["validation_context"]
        assert secret["watched_directory"]["path"] in places
        files = [each["filename"] for each in secret.values() if "filename" in each]
        assert files
        assert {str(Path(file).parent) for file in files} == {secret["watched_directory"]["path"]}


@pytest.mark.parametrize("policy", [SECURED, without_client_ca(), without("tls"), without("issuers"), without("tracing"), without("classes")])
def test_the_real_envoy_accepts_every_combination(policy: GatewayPolicy, values: Values, manifests: Renderer, tmp_path: Path) -> None:
    stack = manifests(values(policy), SITE, SITE_SECURED)
    here = Pods(stack, tmp_path, {"gateway-tls": {"tls.crt": b"", "tls.key": b""}, "client-authority": {"clients.pem": b""}}, {})
    here.mount("gateway")
    config = here.inside("/etc/stackproof/envoy.yaml")
    done = subprocess.run([envoy_binary(), "-c", str(config), "--mode", "validate"], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr


def test_the_port_is_named_for_what_it_speaks_and_probed_in_it(values: Values, manifests: Renderer, tmp_path: Path) -> None:
    server_only = manifests(values(without_client_ca()), SITE, SITE_SECURED)
    (port,) = one(server_only, "Service", "stackproof-gateway")["spec"]["ports"]
    assert (port["name"], port["targetPort"], port["appProtocol"]) == ("https", "https", "https")
    gateway = container(server_only, "gateway")
    assert [each["name"] for each in gateway["ports"]] == ["https"]
    assert gateway["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": "https", "scheme": "HTTPS"}
    assert [gateway[probe]["tcpSocket"]["port"] for probe in ("startupProbe", "livenessProbe")] == ["https", "https"]


def test_where_clients_need_certificates_the_kubelet_has_a_port_of_its_own_that_is_no_service(secured: list[Manifest]) -> None:
    gateway = container(secured, "gateway")
    assert {each["name"]: each["containerPort"] for each in gateway["ports"]} == {"https": 8080, "probe": 8081}
    assert gateway["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": "probe"}
    assert [port["targetPort"] for port in one(secured, "Service", "stackproof-gateway")["spec"]["ports"]] == ["https"]
    labels = one(secured, "Deployment", "stackproof-gateway")["spec"]["template"]["metadata"]["labels"]
    anybody = [Party({"app.kubernetes.io/name": "ingress-controller"}, namespace="ingress"), Party({}, namespace="elsewhere"), Party(address="93.184.215.14")]
    policies = [each for each in secured if each["kind"] == "NetworkPolicy"]
    assert reaches(policies, anybody[0], Party(labels), 8080)
    assert not any(reaches(policies, party, Party(labels), 8081) for party in anybody)


def test_the_benchmark_speaks_tls_to_the_gateway_and_trusts_the_named_authority(values: Values, manifests: Renderer, tmp_path: Path) -> None:
    stack = manifests(values(without_client_ca()), SITE, SITE_SECURED, more(tmp_path, {"bench": {"enabled": True}}))
    (pod,) = [pod for name, pod in pod_specs(stack).items() if name.startswith("Job/")]
    (bench,) = pod["containers"]
    assert "--url=https://stackproof-gateway:8080" in bench["args"]
    assert "--ca-file=/run/trust/stackproof/ca.crt" in bench["args"]
    (volume,) = [each for each in pod["volumes"] if each["name"] == "gateway-ca"]
    assert (volume["secret"]["secretName"], volume["secret"]["items"]) == ("gateway-tls", [{"key": "ca.crt", "path": "ca.crt"}])


def test_engine_and_gateway_reach_the_collector_and_nothing_else_of_it_or_beside_it(secured: list[Manifest]) -> None:
    policies = [each for each in secured if each["kind"] == "NetworkPolicy"]
    ours = {name: Party(one(secured, "Deployment", f"stackproof-{name}")["spec"]["template"]["metadata"]["labels"]) for name in ("engine", "gateway", "authz")}
    others = {
        "collector": Party({"app.kubernetes.io/name": "otel-collector"}, namespace="observability"),
        "its neighbour": Party({"app.kubernetes.io/name": "jaeger"}, namespace="observability"),
        "look-alike": Party({"app.kubernetes.io/name": "otel-collector"}, namespace="elsewhere"),
        "internet": Party(address="93.184.215.14"),
        "dns": Party({"k8s-app": "kube-dns"}, namespace="kube-system"),
    }
    ports = ((4318, "TCP"), (4317, "TCP"), (443, "TCP"), (53, "UDP"), (53, "TCP"))
    opened = {
        (name, other, port, protocol)
        for name, source in ours.items()
        for other, target in others.items()
        for port, protocol in ports
        if reaches(policies, source, target, port, protocol=protocol)
    }
    dns = {(name, "dns", 53, protocol) for name in ("engine", "gateway") for protocol in ("UDP", "TCP")}
    assert opened == {("engine", "collector", 4318, "TCP"), ("gateway", "collector", 4318, "TCP")} | dns
    assert not any(reaches(policies, others["collector"], target, port) for target in ours.values() for port in (8000, 8080, 8081, 9000))


def test_without_tracing_the_engine_reaches_nothing_at_all(manifests: Renderer, values: Values) -> None:
    stack = manifests(values(without("tracing")), SITE, SITE_SECURED)
    assert "egress" not in one(stack, "NetworkPolicy", "stackproof-engine")["spec"]
    assert not [name for name in (each["name"] for each in container(stack, "engine")["env"]) if name.startswith("OTEL_")]


def test_an_address_in_place_of_a_name_needs_no_name_service(manifests: Renderer, values: Values) -> None:
    assert SECURED.tracing is not None
    by_address = SECURED.model_copy(update={"tracing": SECURED.tracing.model_copy(update={"endpoint": "http://192.0.2.7:4318/v1/traces"})})
    stack = manifests(values(by_address), SITE, SITE_SECURED)
    (rule,) = one(stack, "NetworkPolicy", "stackproof-engine")["spec"]["egress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 4318}]


def test_a_collector_whose_pods_listen_elsewhere_than_its_service_is_reached_there(manifests: Renderer, values: Values, tmp_path: Path) -> None:
    stack = manifests(values(SECURED), SITE, SITE_SECURED, more(tmp_path, {"tracing": {"port": 14318}}))
    for component in ("engine", "gateway"):
        rules = one(stack, "NetworkPolicy", f"stackproof-{component}")["spec"]["egress"]
        assert [rule["ports"] for rule in rules if "observability" in str(rule)] == [[{"protocol": "TCP", "port": 14318}]]


def test_the_engine_sends_its_spans_to_the_gateways_collector_under_its_pods_name(secured: list[Manifest]) -> None:
    engine = container(secured, "engine")
    assert engine["args"][-2:] == ["--otlp-traces-endpoint", f"http://{COLLECTOR}/v1/traces"]
    variables = {each["name"]: each for each in engine["env"]}
    assert variables["OTEL_RESOURCE_ATTRIBUTES"]["value"] == "service.instance.id=$(POD_NAME),host.name=$(NODE_NAME)"
    names = list(variables)
    for name, path in (("POD_NAME", "metadata.name"), ("NODE_NAME", "spec.nodeName")):
        assert variables[name]["valueFrom"] == {"fieldRef": {"fieldPath": path}}
        assert names.index(name) < names.index("OTEL_RESOURCE_ATTRIBUTES"), "only what stands before is put in"


def test_the_audit_log_is_a_file_for_each_pod_on_the_named_claim(secured: list[Manifest]) -> None:
    authz = container(secured, "authz")
    assert "--audit-log=/audit/$(POD_NAME).jsonl" in authz["args"]
    assert {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}} in authz["env"]
    volume = mounted(secured, "authz")["/audit"]
    assert (volume["persistentVolumeClaim"], volume["mount"]["readOnly"]) == ({"claimName": "audit"}, False)


def test_without_a_claim_the_audit_log_has_a_limit_that_the_pods_storage_holds(generated: dict[str, Path], manifests: Renderer) -> None:
    stack = manifests(generated["cpu"], SITE)
    assert mounted(stack, "authz")["/audit"]["emptyDir"] == {"sizeLimit": "1Gi"}
    resources = container(stack, "authz")["resources"]
    scratch = sum(mebibytes(each["emptyDir"]["sizeLimit"]) for each in mounted(stack, "authz").values() if "emptyDir" in each)
    assert scratch < mebibytes(resources["limits"]["ephemeral-storage"])
    assert scratch <= mebibytes(resources["requests"]["ephemeral-storage"])


def mebibytes(size: str) -> int:
    return int(size[:-2]) * {"Mi": 1, "Gi": 1024}[size[-2:]]


@pytest.mark.parametrize(
    ("policy", "given", "words"),
    [
        (SECURED, {"secrets": {"tls": {"name": ""}}}, "secrets.tls.name: name an existing Secret of type kubernetes.io/tls"),
        (SECURED, {"trust": {"clientCa": {"name": ""}}}, "trust.clientCa.name: name the ConfigMap or Secret"),
        (SECURED, {"gateway": {"probePort": 0}}, "gateway.probePort: add --values with the file"),
        (SECURED, {"bench": {"enabled": True}}, "bench.enabled: set it to false"),
        (without_client_ca(), {"bench": {"enabled": True}, "trust": {"gatewayCa": {"name": ""}}}, "trust.gatewayCa.name: name the ConfigMap or Secret"),
        (SECURED, {"trust": {"keySets": {"name": ""}}}, "the issuers' key sets (login.jwks, partner.jwks)"),
        (SECURED, {"secrets": {"pseudonymKeys": {"name": ""}}}, "the keys for pseudonyms (pii.key)"),
        (SECURED, {"tracing": {"collectors": []}}, f"tracing.collectors: name the pods behind http://{COLLECTOR}/v1/traces"),
    ],
)
def test_a_missing_object_is_named_with_its_mend(
    manifests: Renderer, values: Values, tmp_path: Path, policy: GatewayPolicy, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(HelmError) as refused:
        manifests(values(policy), SITE, SITE_SECURED, more(tmp_path, given))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_labeling_job_cannot_ask_a_gateway_whose_authority_it_does_not_know(manifests: Renderer, values: Values) -> None:
    with pytest.raises(HelmError, match=r"labeling\.jobs\[triage\]\.url: name another endpoint"):
        manifests(values(SECURED), SITE, SITE_SECURED, CHART / "ci" / "labeling.yaml")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"trust": {"clientCa": {"kind": "Pod"}}}, "/trust/clientCa/kind"),
        ({"authz": {"keySets": ["../keys"]}}, "/authz/keySets/0"),
        ({"authz": {"pseudonymKeys": ["..data"]}}, "/authz/pseudonymKeys/0"),
        ({"gateway": {"tls": {"documents": {"envoy.yaml": "{}"}}}}, "/gateway/tls/documents"),
        ({"secrets": {"tls": {"key": "pem"}}}, "/secrets/tls"),
        ({"tracing": {"endpoint": "http://user:word@collector:4318/"}}, "/tracing/endpoint"),
        ({"tracing": {"collectors": [{}]}}, "/tracing/collectors/0"),
        ({"authz": {"audit": {"size": "0"}}}, "/authz/audit/size"),
    ],
)
def test_a_value_the_schema_does_not_allow_is_refused_by_name(manifests: Renderer, values: Values, tmp_path: Path, given: dict[str, Any], words: str) -> None:
    with pytest.raises(HelmError) as refused:
        manifests(values(SECURED), SITE, SITE_SECURED, more(tmp_path, given))
    assert words in str(refused.value)


def test_a_changed_document_restarts_the_gateway(secured: list[Manifest], values: Values, manifests: Renderer, tmp_path: Path) -> None:
    document = {"gateway": {"tls": {"documents": {"sds-certificate.yaml": "resources: []\n"}}}}
    changed = manifests(values(SECURED), SITE, SITE_SECURED, more(tmp_path, document))
    before, after = (one(stack, "Deployment", "stackproof-gateway")["spec"]["template"]["metadata"] for stack in (secured, changed))
    assert before["annotations"] != after["annotations"]


def test_no_key_or_certificate_stands_in_any_value_or_object(secured: list[Manifest], values: Values) -> None:
    text = values(SECURED).read_text() + yaml.safe_dump_all(copy.deepcopy(secured))
    assert "PRIVATE KEY" not in text
    assert "CERTIFICATE-----" not in text
    assert "Secret" not in {each["kind"] for each in secured}
    assert LOGIN in text
