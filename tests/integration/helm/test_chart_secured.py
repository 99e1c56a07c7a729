"""A policy that needs files of a site: each comes from an object that the site names, into the pod that needs it and no other."""

import copy
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from certificates import Authority
from kube_schemas import schema_faults
from machines import CHART, KUBE_VERSIONS, SITE, Manifest, Renderer, plan_for
from pod_rules import pod_specs, project_faults, restricted_faults
from pods_here import Pods
from ray_schemas import ray_faults, ray_pods
from secured import COLLECTOR, LOGIN, SECURED, without, without_client_ca
from secured_rules import container, mounted, one, secured_faults

from stack.serving.envoy_process import envoy_binary
from stack.serving.helm_binary import HelmError, render, run_helm
from stack.serving.helm_values import chart_values, values_yaml
from stack.serving.policy import GatewayPolicy, Tracing, load_policy, parse_policy
from stack.serving.tenants import RateClass

pytestmark = pytest.mark.slow
SITE_SECURED = CHART / "ci" / "secured.yaml"
Values = Callable[[GatewayPolicy], Path]


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Values:
    made: dict[str, Path] = {}

    def write(policy: GatewayPolicy) -> Path:
        known = policy.model_dump_json()
        if known not in made:
            made[known] = tmp_path_factory.mktemp("values") / "generated.yaml"
            made[known].write_text(values_yaml(chart_values(plan_for("cpu"), policy)))
        return made[known]

    return write


@pytest.fixture
def secured(manifests: Renderer, values: Values, kube: str) -> list[Manifest]:
    return manifests(values(SECURED), SITE, SITE_SECURED, kube=kube)


def more(folder: Path, given: dict[str, Any]) -> Path:
    path = folder / "more.yaml"
    path.write_text(yaml.dump(given, Dumper=yaml.CSafeDumper))
    return path


def test_every_object_is_valid_and_every_pod_confined(secured: list[Manifest], kube: str) -> None:
    assert [fault for each in secured for fault in schema_faults(each, kube)] == []
    pods = pod_specs(secured)
    assert [fault for pod in pods.values() for fault in (*restricted_faults(pod), *project_faults(pod, serves=True))] == []


def test_helm_takes_the_values_strictly(values: Values, helm: Path) -> None:
    options = [argument for path in (values(SECURED), SITE, SITE_SECURED) for argument in ("--values", str(path))]
    assert "0 chart(s) failed" in run_helm(helm, ["lint", "--strict", str(CHART), *options])


def test_files_ports_ways_spans_and_audit_log_are_as_they_are_meant(secured: list[Manifest]) -> None:
    assert secured_faults(secured) == []


BREAKAGES = {
    "the certificate's folder can be written": ("_helpers.tpl", "readOnly: {{ not .writable }}", "readOnly: false", "/tls can be written"),
    "a Secret for everybody": (
        "_helpers.tpl",
        "  secretName: {{ .name }}\n  defaultMode: 0440\n  items:\n    {{- toYaml",
        "  secretName: {{ .name }}\n  defaultMode: 0444\n  items:\n    {{- toYaml",
        "another mode than 0440",
    ),
    "no items": (
        "_helpers.tpl",
        "configMap:\n  name: {{ .name }}\n  items:\n    {{- toYaml .files | nindent 4 }}",
        "configMap:\n  name: {{ .name }}",
        "comes from",
    ),
    "the certificate elsewhere": (
        "gateway/_gateway.tpl",
        "mountPath: /run/secrets/stackproof/tls",
        "mountPath: /run/secrets/stackproof/cert",
        "names /run/secrets/stackproof/tls, which is not mounted",
    ),
    "a file that does not follow its Secret": (
        "gateway/_gateway.tpl",
        "mountPath: /run/secrets/stackproof/tls",
        "mountPath: /run/secrets/stackproof/tls\n  subPath: tls.crt",
        "does not follow its object",
    ),
    "the clients' authority from another object": (
        "gateway/_gateway.tpl",
        "$ca := .Values.trust.clientCa",
        "$ca := .Values.trust.gatewayCa",
        "client-ca comes from",
    ),
    "no documents": (
        "gateway/configmap.yaml",
        "range $name, $text := .Values.gateway.tls.documents",
        "range $name, $text := dict",
        "Envoy is not given sds-certificate.yaml",
    ),
    "the kubelet at the listener": ("gateway/_gateway.tpl", "port: probe}", "port: https, scheme: HTTPS}", "readiness by"),
    "the Service at the kubelet's port": ("gateway/service.yaml", "targetPort: {{ include", "targetPort: probe # {{ include", "Service: ports"),
    "the kubelet's port open to clients": (
        "gateway/networkpolicy.yaml",
        "      ports:\n        - protocol: TCP\n          port: {{ .Values.gateway.port }}\n",
        "",
        "an ingress reaches the kubelet's port",
    ),
    "the gateway gets the key for pseudonyms": (
        "gateway/_gateway.tpl",
        '"name" .Values.secrets.tls.name',
        '"name" .Values.secrets.pseudonymKeys.name',
        "gateway: gets stackproof-pseudonyms",
    ),
    "no key sets": ("authz/_authz.tpl", "with .Values.authz.keySets", "with list", "nothing is mounted at /run/trust/stackproof/key-sets"),
    "no keys for pseudonyms": ("authz/_authz.tpl", "with .Values.authz.pseudonymKeys", "with list", "pii.key is not mounted"),
    "one audit log for all": ("authz/_authz.tpl", "/audit/$(POD_NAME).jsonl", "/audit/audit.jsonl", "no audit log of its own"),
    "an audit log without a name": ("authz/_authz.tpl", "fieldPath: metadata.name", "fieldPath: spec.nodeName", "does not know its pod's name"),
    "the audit log beside its claim": ("authz/_authz.tpl", "if .Values.authz.audit.existingClaim", "if false", "the audit log goes to"),
    "an audit log that cannot be written": ("authz/_authz.tpl", "  mountPath: /audit\n  writable: true", "  mountPath: /audit", "the audit log goes to"),
    "any collector": ("_helpers.tpl", "- to:\n    {{- toYaml .collectors | nindent 4 }}\n  ports", "- ports", "engine reaches the internet at 4318/TCP"),
    "any port of the collector": ("_helpers.tpl", "  ports:\n    - protocol: TCP\n      port: {{ .port }}\n", "", "gateway reaches the collector at 4317/TCP"),
    "no way for the engine's spans": ("engine/networkpolicy.yaml", "if $.Values.tracing.endpoint", "if false", "engine does not reach the collector"),
    "no name service for the engine": ("engine/networkpolicy.yaml", "if not (regexMatch", "if (regexMatch", "engine does not reach DNS"),
    "the collector's authority from another object": (
        "_helpers.tpl",
        "$ca := .Values.trust.collectorCa",
        "$ca := .Values.trust.clientCa",
        "collector-ca comes from",
    ),
    "no authority for the engine": ("engine/_engine.tpl", 'include "stackproof.collectorMounts" .root', '"" ', "engine: nothing is mounted at /run/trust"),
    "no authority for the gateway": ("gateway/_gateway.tpl", 'include "stackproof.collectorMounts" .', '"" ', "gateway: nothing is mounted at /run/trust"),
    "names behind what is made of them": ("engine/_engine.tpl", "if .root.Values.tracing.endpoint", "if false", "POD_NAME is not metadata.name"),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_line_of_the_chart_that_is_broken_turns_the_check_red(breakage: str, values: Values, helm: Path, tmp_path: Path) -> None:
    name, line, broken, words = BREAKAGES[breakage]
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    template = chart / "templates" / name
    assert template.read_text().count(line) == 1, "the line that is to be broken is not there, or is there twice"
    template.write_text(template.read_text().replace(line, broken))
    text = render(helm, chart, [values(SECURED), SITE, SITE_SECURED], release="demo", namespace="stack", kube_version=KUBE_VERSIONS[-1])
    faults = secured_faults([document for document in yaml.load_all(text, yaml.CSafeLoader) if document])
    assert [fault for fault in faults if words in fault], faults


def test_the_policy_in_the_pod_is_the_same_but_for_the_places_of_its_files(secured: list[Manifest]) -> None:
    policy = parse_policy(one(secured, "ConfigMap", "stackproof-authz")["data"]["policy.yaml"], source="ConfigMap")
    assert [(issuer.issuer, Path(issuer.key_set).name) for issuer in policy.issuers] == [
        (issuer.issuer, Path(issuer.key_set).name) for issuer in SECURED.issuers
    ]
    changed = {name for name in type(policy).model_fields if getattr(policy, name) != getattr(SECURED, name)}
    assert changed == {"tls", "issuers", "classes", "tracing"}
    assert policy.classes["trusted"] == SECURED.classes["trusted"]
    assert "/srv/" not in yaml.dump_all(secured, Dumper=yaml.CSafeDumper)


@pytest.mark.parametrize("policy", [SECURED, without_client_ca(), without("tls"), without("issuers"), without("tracing"), without("classes")])
def test_the_real_envoy_accepts_every_combination(policy: GatewayPolicy, values: Values, manifests: Renderer, tmp_path: Path) -> None:
    stack = manifests(values(policy), SITE, SITE_SECURED)
    objects = {"gateway-tls": {"tls.crt": b"", "tls.key": b""}, "client-authority": {"clients.pem": b""}}
    authority = Authority.make(tmp_path, "collector-ca").pem.read_bytes()
    here = Pods(stack, tmp_path, {**objects, "collector-authority": {"authority.pem": authority}}, {})
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


def test_the_benchmark_speaks_tls_to_the_gateway_and_trusts_the_named_authority(values: Values, manifests: Renderer, tmp_path: Path) -> None:
    stack = manifests(values(without_client_ca()), SITE, SITE_SECURED, more(tmp_path, {"bench": {"enabled": True}}))
    (pod,) = [pod for name, pod in pod_specs(stack).items() if name.startswith("Job/")]
    (bench,) = pod["containers"]
    assert "--url=https://stackproof-gateway:8080" in bench["args"]
    assert "--ca-file=/run/trust/stackproof/ca.crt" in bench["args"]
    (volume,) = [each for each in pod["volumes"] if each["name"] == "gateway-ca"]
    assert (volume["secret"]["secretName"], volume["secret"]["items"]) == ("gateway-tls", [{"key": "ca.crt", "path": "ca.crt"}])


def test_without_tracing_the_engine_reaches_nothing_at_all(manifests: Renderer, values: Values) -> None:
    stack = manifests(values(without("tracing")), SITE, SITE_SECURED)
    assert "egress" not in one(stack, "NetworkPolicy", "stackproof-engine")["spec"]
    assert not [name for name in (each["name"] for each in container(stack, "engine")["env"]) if name.startswith("OTEL_")]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_address_in_place_of_a_name_needs_no_name_service(manifests: Renderer, values: Values, scheme: str) -> None:
    by_address = SECURED.model_copy(update={"tracing": Tracing(endpoint=f"{scheme}://192.0.2.7:4318/v1/traces")})
    stack = manifests(values(by_address), SITE, SITE_SECURED)
    (rule,) = one(stack, "NetworkPolicy", "stackproof-engine")["spec"]["egress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 4318}]


def test_a_collector_of_a_public_authority_needs_no_file_of_the_site(manifests: Renderer, values: Values) -> None:
    public = SECURED.model_copy(update={"tracing": Tracing(endpoint=f"https://{COLLECTOR}/v1/traces")})
    stack = manifests(values(public), SITE, SITE_SECURED)
    assert [path for component in ("engine", "gateway") for path in mounted(stack, component) if path.endswith("collector-ca")] == []
    assert "/etc/ssl/certs/ca-certificates.crt" in one(stack, "ConfigMap", "stackproof-gateway")["data"]["envoy.yaml"]
    assert "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE" not in {each["name"] for each in container(stack, "engine")["env"]}


def test_a_collector_whose_pods_listen_elsewhere_than_its_service_is_reached_there(manifests: Renderer, values: Values, tmp_path: Path) -> None:
    stack = manifests(values(SECURED), SITE, SITE_SECURED, more(tmp_path, {"tracing": {"port": 14318}}))
    for component in ("engine", "gateway"):
        rules = one(stack, "NetworkPolicy", f"stackproof-{component}")["spec"]["egress"]
        assert [rule["ports"] for rule in rules if "observability" in str(rule)] == [[{"protocol": "TCP", "port": 14318}]]


DAILY = load_policy().model_copy(update={"classes": {"default": RateClass(tokens_per_day=1000)}})


def test_daily_budgets_are_kept_on_the_claim_by_one_service_that_ends_before_the_next_begins(manifests: Renderer, values: Values) -> None:
    stack = manifests(values(DAILY), SITE, SITE_SECURED)
    assert "--budgets=/audit/budgets.json" in container(stack, "authz")["args"]
    assert mounted(stack, "authz")["/audit"]["persistentVolumeClaim"] == {"claimName": "audit"}
    deployment = one(stack, "Deployment", "stackproof-authz")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})


def test_without_daily_budgets_none_are_kept_and_updates_overlap(secured: list[Manifest]) -> None:
    assert not [each for each in container(secured, "authz")["args"] if each.startswith("--budgets")]
    assert one(secured, "Deployment", "stackproof-authz")["spec"]["strategy"]["type"] == "RollingUpdate"


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
        (DAILY, {"authz": {"audit": {"existingClaim": ""}}}, "authz.audit.existingClaim: name a PersistentVolumeClaim"),
        (DAILY, {"authz": {"replicas": 2}}, "authz.replicas: set it to 1"),
        (SECURED, {"tracing": {"collectors": []}}, f"tracing.collectors: name the pods behind https://{COLLECTOR}/v1/traces"),
        (SECURED, {"trust": {"collectorCa": {"name": ""}}}, "trust.collectorCa.name: name the ConfigMap or Secret with the authority of the collector's"),
    ],
)
def test_a_missing_object_is_named_with_its_mend(
    manifests: Renderer, values: Values, tmp_path: Path, policy: GatewayPolicy, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(HelmError) as refused:
        manifests(values(policy), SITE, SITE_SECURED, more(tmp_path, given))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


LABELING = CHART / "ci" / "labeling.yaml"


def labeling_jobs(stack: list[Manifest]) -> dict[str, Manifest]:
    """RayJobs by the job's name."""
    return {each["metadata"]["name"].split("-")[2]: each for each in stack if each["kind"] == "RayJob"}


def authorities(job: Manifest) -> dict[str, Any]:
    """What head and workers mount of it, by pod; None where they mount none."""
    found = {}
    for part, template in ray_pods(job).items():
        pod = template["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["mountPath"] == "/run/trust/stackproof"]
        found[part] = {**volumes[mounts[0]["name"]], "read-only": mounts[0]["readOnly"]} if mounts else None
    return found


def test_a_labeling_job_trusts_the_named_authority_of_the_gateway(manifests: Renderer, values: Values, kube: str) -> None:
    jobs = labeling_jobs(manifests(values(without_client_ca()), SITE, SITE_SECURED, LABELING, kube=kube))
    assert [fault for job in jobs.values() for fault in ray_faults(job, kube)] == []
    words = shlex.split(jobs["triage"]["spec"]["entrypoint"])
    assert {"--url=https://stackproof-gateway:8080", "--ca-file=/run/trust/stackproof/ca.crt"} <= set(words)
    secret = {"secretName": "gateway-tls", "defaultMode": 0o440, "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    mounted_here = {"name": "authority", "secret": secret, "read-only": True}
    assert authorities(jobs["triage"]) == {"submitter": None, "head": mounted_here, "workers": mounted_here}
    assert "--ca-file" not in jobs["archive"]["spec"]["entrypoint"], "an endpoint elsewhere has a certificate of a public authority"
    assert authorities(jobs["archive"]) == {"submitter": None, "head": None, "workers": None}


def test_a_labeling_job_may_name_the_authority_of_an_endpoint_elsewhere(manifests: Renderer, values: Values, tmp_path: Path) -> None:
    jobs = yaml.safe_load(LABELING.read_text())["labeling"]["jobs"]
    jobs[1] |= {"ca": {"kind": "ConfigMap", "name": "models-authority", "key": "ca.pem"}}
    found = labeling_jobs(manifests(values(load_policy()), SITE, LABELING, more(tmp_path, {"labeling": {"jobs": jobs}})))
    assert "--ca-file=/run/trust/stackproof/ca.crt" in shlex.split(found["archive"]["spec"]["entrypoint"])
    assert authorities(found["archive"])["workers"]["configMap"] == {"name": "models-authority", "items": [{"key": "ca.pem", "path": "ca.crt"}]}
    assert "--ca-file" not in found["triage"]["spec"]["entrypoint"]


def test_another_authority_of_the_gateway_is_another_job(manifests: Renderer, values: Values, tmp_path: Path) -> None:
    """A RayJob that has begun takes no changes."""
    given = (values(without_client_ca()), SITE, SITE_SECURED, LABELING)
    before, after = labeling_jobs(manifests(*given)), labeling_jobs(manifests(*given, more(tmp_path, {"trust": {"gatewayCa": {"name": "other"}}})))
    assert before["triage"]["metadata"]["name"] != after["triage"]["metadata"]["name"]
    assert before["archive"]["metadata"]["name"] == after["archive"]["metadata"]["name"]


def with_ca(**ca: str) -> dict[str, Any]:
    jobs = yaml.safe_load(LABELING.read_text())["labeling"]["jobs"]
    return {"labeling": {"jobs": [{**jobs[0], "ca": ca}, jobs[1]]}}


@pytest.mark.parametrize(
    ("policy", "given", "words"),
    [
        (without_client_ca(), {"trust": {"gatewayCa": {"name": ""}}}, "trust.gatewayCa.name: name the ConfigMap or Secret with the authority of the gateway's"),
        (SECURED, {}, "labeling.jobs[triage].url: name another endpoint: the gateway wants certificates of its clients"),
        (without("tls"), with_ca(kind="Secret", name="", key="ca.crt"), "labeling.jobs[triage].ca.name: name the ConfigMap or Secret"),
        (without("tls"), with_ca(kind="Secret", name="ca"), "/labeling/jobs/0/ca"),
        (without("tls"), {"labeling": {"defaults": {"args": ["--ca-file=/tmp/ca"]}}}, "/labeling/defaults/args/0"),
    ],
    ids=["no authority", "client certificates", "no name", "no key", "as an argument"],
)
def test_a_labeling_job_that_would_trust_nobody_is_refused(
    manifests: Renderer, values: Values, tmp_path: Path, policy: GatewayPolicy, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(HelmError) as refused:
        manifests(values(policy), SITE, SITE_SECURED, LABELING, more(tmp_path, given))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


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
    text = values(SECURED).read_text() + yaml.dump_all(copy.deepcopy(secured), Dumper=yaml.CSafeDumper)
    assert "PRIVATE KEY" not in text
    assert "CERTIFICATE-----" not in text
    assert "Secret" not in {each["kind"] for each in secured}
    assert LOGIN in text
