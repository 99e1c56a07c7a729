"""What is traced, told and trusted, by the policy's own words."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.sdk.resources import Resource
from prometheus_client import generate_latest
from test_envoy_config import LOCAL, manager, walk

from stack.serving.envoy_process import require_authorities
from stack.serving.errors import ServingError
from stack.serving.gateway import render_envoy
from stack.serving.keys import ApiKey, KeyRing, hash_key
from stack.serving.metrics import GatewayMetrics
from stack.serving.policy import GatewayPolicy, Metrics, Tracing, load_policy, parse_policy
from stack.serving.reports import Ended
from stack.serving.traces import engine_tracing, trace_id_of

ENDPOINT = "http://127.0.0.1:4318/v1/traces"
TRACED = load_policy().model_copy(update={"tracing": Tracing(endpoint=ENDPOINT, sample_percent=5)})
SECURE = "https://Collector.example:4318/v1/traces"
CHAT = ("POST", "/v1/chat/completions")


def policy_with(**options: Any) -> GatewayPolicy:
    return parse_policy(yaml.safe_dump({**load_policy().model_dump(mode="json"), **options}), source="mine.yaml")


def removed(policy: GatewayPolicy) -> set[str]:
    mutations = manager(LOCAL, policy)["early_header_mutation_extensions"][0]["typed_config"]["mutations"]
    return {mutation["remove"] for mutation in mutations if "remove" in mutation}


def test_nothing_is_traced_or_scraped_unless_the_policy_says_where() -> None:
    config = render_envoy(load_policy(), LOCAL)
    assert "tracing" not in manager()
    assert {key for key, _ in walk(config)} & {"opentelemetry"} == set()
    assert [layer["name"] for layer in config["layered_runtime"]["layers"]] == ["own"]
    assert [listener["name"] for listener in config["static_resources"]["listeners"]] == ["gateway"]
    assert "trace_id" not in manager()["access_log"][0]["typed_config"]["log_format"]["json_format"]


@pytest.mark.parametrize("policy", [load_policy(), TRACED])
def test_a_clients_trace_headers_are_dropped_whether_or_not_the_gateway_traces(policy: GatewayPolicy) -> None:
    assert {"traceparent", "tracestate", "baggage", "x-client-trace-id"} <= removed(policy)
    trusting = TRACED.model_copy(update={"tracing": Tracing(endpoint=ENDPOINT, trust_client=True)})
    assert "traceparent" not in removed(trusting)


def test_the_share_and_the_collector_are_the_policys() -> None:
    config = render_envoy(TRACED, LOCAL)
    tracing = manager(LOCAL, TRACED)["tracing"]
    assert (tracing["random_sampling"], tracing["client_sampling"]) == ({"value": 5}, {"value": 0})
    (collector,) = [cluster for cluster in config["static_resources"]["clusters"] if cluster["name"] == "collector"]
    assert collector["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["port_value"] == 4318


def collector_of(**options: Any) -> dict[str, Any]:
    config = render_envoy(load_policy().model_copy(update={"tracing": Tracing(**options)}), LOCAL)
    (collector,) = [cluster for cluster in config["static_resources"]["clusters"] if cluster["name"] == "collector"]
    return dict(collector)


@pytest.mark.parametrize(
    ("endpoint", "sni", "name"),
    [
        (SECURE, "collector.example", {"san_type": "DNS", "matcher": {"exact": "collector.example"}}),
        ("https://192.0.2.7:4318/v1/traces", None, {"san_type": "IP_ADDRESS", "matcher": {"exact": "192.0.2.7"}}),
    ],
    ids=["name", "address"],
)
def test_an_https_collector_has_to_be_of_its_authority_and_of_its_name(endpoint: str, sni: str | None, name: dict[str, Any]) -> None:
    context = collector_of(endpoint=endpoint, ca_file="/etc/tls/site.pem")["transport_socket"]["typed_config"]
    assert context.get("sni") == sni
    common = context["common_tls_context"]
    assert common["validation_context"] == {"trusted_ca": {"filename": "/etc/tls/site.pem"}, "match_typed_subject_alt_names": [name]}
    assert common["tls_params"]["tls_minimum_protocol_version"] == "TLSv1_2"


def test_without_a_file_the_public_authorities_are_trusted_and_plain_http_trusts_nobody() -> None:
    public = collector_of(endpoint=SECURE)["transport_socket"]["typed_config"]["common_tls_context"]["validation_context"]
    assert public["trusted_ca"] == {"filename": "/etc/ssl/certs/ca-certificates.crt"}
    assert "transport_socket" not in collector_of(endpoint=ENDPOINT)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"ca_file": "{folder}/none.pem"}, "cannot be read: No such file or directory"),
        ({"ca_file": "{folder}/empty.pem"}, "holds no PEM certificates"),
    ],
    ids=["missing", "empty"],
)
def test_certificates_that_cannot_be_read_are_told_before_anything_starts(tmp_path: Path, options: dict[str, str], told: str) -> None:
    (tmp_path / "empty.pem").touch()
    with pytest.raises(ServingError, match=rf"^field `tracing\.ca_file`: CA file .*\.pem {told}"):
        require_authorities(Tracing(endpoint=SECURE, ca_file=options["ca_file"].format(folder=tmp_path)))
    require_authorities(Tracing(endpoint=ENDPOINT))
    require_authorities(None)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"tracing": {"endpoint": "https://collector/v1/traces"}}, "tracing.endpoint"),
        ({"tracing": {"endpoint": "grpc://collector:4317"}}, "tracing.endpoint"),
        ({"tracing": {"endpoint": SECURE, "ca_file": "ca.pem"}}, "tracing.ca_file"),
        ({"tracing": {"endpoint": ENDPOINT, "ca_file": "/etc/tls/ca.pem"}}, "tracing"),
        ({"tracing": {"endpoint": "http://127.0.0.1/v1/traces"}}, "tracing.endpoint"),
        ({"tracing": {"endpoint": "http://127.0.0.1:70000/v1/traces"}}, "tracing.endpoint"),
        ({"tracing": {"endpoint": ENDPOINT, "sample_percent": 101}}, "tracing.sample_percent"),
        ({"metrics": {"gateway": "9902"}}, "metrics.gateway"),
        ({"metrics": {"policy_service": "127.0.0.1:0"}}, "metrics.policy_service"),
    ],
)
def test_what_cannot_be_reached_is_refused_by_field(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ServingError, match=f"`{field}`"):
        policy_with(**options)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c"),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", None),
        ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", None),
        ("0af7651916cd43dd8448eb211c80319c", None),
        ("", None),
        (None, None),
    ],
)
def test_a_trace_id_is_read_from_a_valid_header_only(header: str | None, found: str | None) -> None:
    assert trace_id_of(header) == found


def test_the_sdk_reads_engine_host_and_devices_as_they_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    added = engine_tracing(Tracing(endpoint=ENDPOINT), "engine-2", host="rack 1,a=b", devices=("0f1e", "2d3c"))
    for name, value in added.environment.items():
        monkeypatch.setenv(name, value)
    told = Resource.create({}).attributes
    assert told["service.name"] == "stackproof-engine"
    assert told["service.instance.id"] == "engine-2"
    assert told["host.name"] == "rack 1,a=b"
    assert told["stackproof.devices"] == "0f1e 2d3c"
    assert added.arguments == ("--otlp-traces-endpoint", ENDPOINT)
    assert "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE" not in added.environment


def ended(**changes: Any) -> Ended:
    about = {"request_id": "r", "status": 200, "prompt_tokens": 7, "completion_tokens": 5, "tenant": "clinic", "method": "POST", "path": CHAT[1]}
    return Ended(**{**about, "duration_s": 0.2, "first_byte_s": 0.1, **changes})


def counted(*reports: Ended) -> str:
    metrics = GatewayMetrics(load_policy())
    metrics.follow(KeyRing((ApiKey(tenant="clinic", sha256=hash_key("k")),)))
    metrics.reported(reports)
    return generate_latest(metrics.registry).decode()


def test_requests_and_tokens_are_counted_by_tenant_and_route() -> None:
    told = counted(ended(), ended(status=503, prompt_tokens=None, completion_tokens=None, first_byte_s=None))
    assert 'stackproof_gateway_requests_total{route="POST /v1/chat/completions",status="200",tenant="clinic"} 1.0' in told
    assert 'stackproof_gateway_requests_total{route="POST /v1/chat/completions",status="503",tenant="clinic"} 1.0' in told
    assert 'stackproof_gateway_tokens_total{kind="completion",tenant="clinic"} 5.0' in told
    assert "uncounted_requests_total{" not in told, "a refusal by the engine costs nothing"


def test_no_label_is_a_clients_choice() -> None:
    told = counted(ended(tenant="tenant-of-a-token", path="/secret/1"), ended(tenant=None, path="/secret/2"))
    assert "secret" not in told
    assert "tenant-of-a-token" not in told
    assert 'stackproof_gateway_requests_total{route="other",status="200",tenant="other"} 1.0' in told


def test_how_requests_ended_is_reported_where_metrics_or_limits_count_on_it() -> None:
    scraped = load_policy().model_copy(update={"metrics": Metrics(policy_service="127.0.0.1:9903")})
    assert [len(manager(LOCAL, policy)["access_log"]) for policy in (load_policy(), scraped)] == [1, 2]
