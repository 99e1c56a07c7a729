"""The chart's gateway and policy service run here, by their rendered commands and mounts: certificates, key sets, pseudonyms, audit log, spans."""

import base64
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from certificates import Authority
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from machines import CHART, ROOT, SITE, Renderer, plan_for
from otlp_receiver import Collector, start_collector
from pods_here import POD, Pods, publish, start_engine_stub
from secured import COLLECTOR, LOGIN, SECURED

from stack.privacy import create_key, read_key
from stack.serving.audit_log import AuditLog, Decision, verify_log
from stack.serving.helm_values import chart_values, values_yaml
from stack.serving.keys import ApiKey, hash_key, write_keys
from stack.serving.policy import load_policy
from stack.serving.tenants import RateClass

pytestmark = pytest.mark.slow

KEY, ENGINE_KEY = "sp-client", "sp-engine"
STACKPROOF = (sys.executable, "-m", "stack.cli.main")
CHAT = "/v1/chat/completions"
TLS_MOUNT, CA_MOUNT, KEY_SETS_MOUNT = "/run/secrets/stackproof/tls", "/run/trust/stackproof/client-ca", "/run/trust/stackproof/key-sets"


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@dataclass(frozen=True)
class Signer:
    key: ed25519.Ed25519PrivateKey

    def key_set(self, kid: str) -> bytes:
        public = b64(self.key.public_key().public_bytes_raw())
        return json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": kid, "alg": "EdDSA", "x": public}]}).encode()

    def token(self, kid: str) -> str:
        claims = {"iss": LOGIN, "aud": "stackproof", "tenant": "clinic", "exp": int(time.time()) + 3600}
        text = f"{b64(json.dumps({'alg': 'EdDSA', 'kid': kid}).encode())}.{b64(json.dumps(claims).encode())}"
        return f"{text}.{b64(self.key.sign(text.encode()))}"


@dataclass(frozen=True)
class Site:
    pods: Pods
    server_ca: Authority
    client_ca: Authority
    folder: Path
    signer: Signer
    collector: Collector
    asked_for: list[str | None]
    """Server names that the collector was asked for."""
    reached: list[tuple[dict[str, str], bytes]]

    @property
    def port(self) -> int:
        return self.pods.port(8080)

    def trusting(self, client: str | None = "client") -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.server_ca.pem))
        if client is not None:
            context.load_cert_chain(self.folder / f"{client}.crt", self.folder / f"{client}.key")
        return context

    def ask(self, path: str = "/v1/models", *, credential: str = KEY, client: str | None = "client", body: object = None) -> httpx.Response:
        headers, url = {"authorization": f"Bearer {credential}"}, f"https://127.0.0.1:{self.port}{path}"
        with httpx.Client(verify=self.trusting(client), trust_env=False, timeout=20) as asking:
            return asking.get(url, headers=headers) if body is None else asking.post(url, headers=headers, json=body)

    def pair(self) -> dict[str, bytes]:
        """A new certificate of the server's authority, as a Secret holds it."""
        self.server_ca.issue(self.folder / "tls.crt", self.folder / "tls.key", "stackproof-gateway")
        return {name: (self.folder / name).read_bytes() for name in ("tls.crt", "tls.key")}

    def serial(self) -> object:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        with self.trusting().wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            return (connection.getpeercert() or {})["serialNumber"]


def within(seconds: float, wanted: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not (found := wanted()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, manifests: Renderer) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    server_ca, client_ca = Authority.make(folder, "server-ca"), Authority.make(folder, "client-ca")
    client_ca.issue(folder / "client.crt", folder / "client.key", "client")
    signer = Signer(ed25519.Ed25519PrivateKey.generate())
    create_key(folder / "pii.key")
    write_keys(folder / "keys.json", (ApiKey(tenant="clinic", sha256=hash_key(KEY)),))
    (folder / "values.yaml").write_text(values_yaml(chart_values(plan_for("cpu"), SECURED)))
    stack = manifests(folder / "values.yaml", SITE, CHART / "ci" / "secured.yaml")
    reached: list[tuple[dict[str, str], bytes]] = []
    with ExitStack() as running:
        root = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="pods-")))  # short: an admin socket lies in it
        (folder / "collector").mkdir()
        collector_ca, name = Authority.make(folder, "collector-ca"), x509.DNSName(COLLECTOR.partition(":")[0])
        engine = running.enter_context(start_engine_stub(reached))
        tls, asked_for = collector_ca.serving(folder / "collector", host=name), list[str | None]()
        tls.sni_callback = lambda _socket, server_name, _context: asked_for.append(server_name)
        collector = running.enter_context(start_collector(tls))
        pods = Pods(stack, root, {}, {"stackproof-engine:8000": engine, COLLECTOR: int(collector.endpoint.split(":")[2].split("/")[0])})
        found = Site(pods, server_ca, client_ca, folder, signer, collector, asked_for, reached)
        pods.objects |= {
            "gateway-tls": found.pair(),
            "client-authority": {"clients.pem": client_ca.pem.read_bytes()},
            "collector-authority": {"authority.pem": collector_ca.pem.read_bytes()},
            "login-keys": {"login.jwks": signer.key_set("one"), "partner.jwks": signer.key_set("partner")},
            "stackproof-pseudonyms": {"pii.key": (folder / "pii.key").read_bytes()},
            "stackproof-client-keys": {"keys.json": (folder / "keys.json").read_bytes()},
            "stackproof-engine-key": {"engine-key": ENGINE_KEY.encode()},
        }
        running.enter_context(pods.policy_service())
        pods.services["stackproof-authz:9000"] = pods.port(9000)
        running.enter_context(pods.gateway())
        yield found


def test_a_client_with_certificate_and_key_reaches_the_engine_with_the_engines_key(site: Site) -> None:
    site.reached.clear()
    answer = site.ask()
    assert answer.status_code == 200
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert site.reached[0][0]["authorization"] == f"Bearer {ENGINE_KEY}"
    assert site.ask(credential="sp-nobodys").status_code == 401


def test_without_a_certificate_nothing_is_answered(site: Site) -> None:
    with pytest.raises(httpx.TransportError):
        site.ask(client=None)


def test_a_renewed_secret_counts_without_a_restart(site: Site) -> None:
    before = site.serial()
    site.pods.renew("gateway", TLS_MOUNT, site.pair())
    assert within(10, lambda: site.serial() != before)
    second = site.serial()
    site.pods.renew("gateway", TLS_MOUNT, site.pair())
    assert within(10, lambda: site.serial() != second), "a second renewal counts as the first did"


def test_another_authority_of_the_clients_counts_without_a_restart(site: Site) -> None:
    other = Authority.make(site.folder, "other-ca")
    other.issue(site.folder / "other.crt", site.folder / "other.key", "client")

    def served(client: str) -> bool:
        try:
            return site.ask(client=client).status_code == 200
        except httpx.TransportError:
            return False

    assert (served("client"), served("other")) == (True, False)
    site.pods.renew("gateway", CA_MOUNT, {"ca.crt": other.pem.read_bytes()})
    try:
        assert within(10, lambda: served("other"))
        assert not served("client")
    finally:
        site.pods.renew("gateway", CA_MOUNT, {"ca.crt": site.client_ca.pem.read_bytes()})
        assert within(10, lambda: served("client"))


def test_the_kubelets_port_knows_the_health_path_and_nothing_else(site: Site) -> None:
    url = f"http://127.0.0.1:{site.pods.port(8081)}"
    site.reached.clear()
    key = {"authorization": f"Bearer {KEY}"}
    body = {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "Hello"}]}
    with httpx.Client(base_url=url, trust_env=False) as asking:
        assert asking.get("/healthz").status_code == 200
        found = [asking.get(path, headers=key).status_code for path in ("/v1/models", "/health", "/metrics", "/healthz/", "/healthz/../v1/models")]
        found += [asking.post(path, headers=key, json=body).status_code for path in (CHAT, "/healthz")]
    assert found == [404] * 7
    assert site.reached == []


def test_a_token_passes_by_the_mounted_key_set_and_a_key_taken_out_counts_without_a_restart(site: Site) -> None:
    assert site.ask(credential=site.signer.token("one")).status_code == 200
    stranger = Signer(ed25519.Ed25519PrivateKey.generate())
    assert site.ask(credential=stranger.token("one")).status_code == 401
    partner = site.signer.key_set("partner")
    site.pods.renew("authz", KEY_SETS_MOUNT, {"login.jwks": stranger.key_set("two"), "partner.jwks": partner})
    try:
        assert within(10, lambda: site.ask(credential=stranger.token("two")).status_code == 200)
        assert within(10, lambda: site.ask(credential=site.signer.token("one")).status_code == 401)
    finally:
        site.pods.renew("authz", KEY_SETS_MOUNT, {"login.jwks": site.signer.key_set("one"), "partner.jwks": partner})
        assert within(10, lambda: site.ask(credential=site.signer.token("one")).status_code == 200)


def test_a_clients_key_that_is_taken_out_of_its_secret_counts_without_a_restart(site: Site) -> None:
    keys = site.pods.objects["stackproof-client-keys"]
    write_keys(site.folder / "others.json", (ApiKey(tenant="school", sha256=hash_key("sp-another")),))
    site.pods.renew("authz", "/run/secrets/stackproof/keys", {"keys.json": (site.folder / "others.json").read_bytes()})
    try:
        assert within(10, lambda: site.ask(credential=KEY).status_code == 401)
        assert site.ask(credential="sp-another").status_code == 200
    finally:
        site.pods.renew("authz", "/run/secrets/stackproof/keys", keys)
        assert within(10, lambda: site.ask().status_code == 200)


def test_personal_data_reaches_the_engine_as_a_pseudonym_of_the_mounted_key(site: Site) -> None:
    site.reached.clear()
    body = {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "Write to ann@example.org and ann@example.org"}]}
    assert site.ask(CHAT, body=body).status_code == 200
    told = json.loads(site.reached[0][1])["messages"][0]["content"]
    assert re.fullmatch(r"Write to (\[EMAIL:[0-9a-f]{12}\]) and \1", told)


def test_the_audit_log_of_the_pod_has_every_decision_and_verifies_with_the_command(site: Site) -> None:
    log = site.pods.inside(f"/audit/{POD}.jsonl")
    before = verify_log(log).entries
    request_id = site.ask().headers["x-request-id"]
    site.ask(credential="sp-nobodys")
    done = subprocess.run([*STACKPROOF, "secure", "verify-log", str(log)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert verify_log(log).entries == before + 2
    assert request_id in log.read_text()
    assert KEY not in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


def test_the_documented_command_makes_a_key_for_pseudonyms(tmp_path: Path) -> None:
    recipe = next(part for part in (ROOT / "docs" / "kubernetes.md").read_text().split("```sh\n") if "pii.key" in part.split("```")[0]).split("```")[0]
    subprocess.run(["/bin/sh", "-eu", "-c", recipe], cwd=tmp_path, check=True, timeout=10)
    assert read_key(tmp_path / "pii.key").fingerprint


def test_the_documented_export_takes_one_chain_out_of_the_files_of_each_pod(tmp_path: Path) -> None:
    """The commands of docs/kubernetes.md, with a kubectl that runs them here."""
    recipe = next(part for part in (ROOT / "docs" / "kubernetes.md").read_text().split("```sh\n") if part.startswith("audited()")).split("```")[0]
    audit, programs = tmp_path / "audit", tmp_path / "programs"
    for folder in (audit, programs):
        folder.mkdir()
    for pod, count in ((POD, 25), ("stackproof-authz-other", 3)):
        log = AuditLog(audit / f"{pod}.jsonl", most_bytes=800)
        for number in range(count):
            log.write(Decision(f"{pod}-{number}", "clinic", "GET /v1/models", None, "let through", 200, None, None))
    assert (audit / f"{POD}.jsonl.11").exists(), "more than nine old files, so that their order matters"
    names = " ".join(f"pod/{path.name.removesuffix('.jsonl')}" for path in sorted(audit.glob("*.jsonl")))
    kubectl = f'#!/bin/sh\nshift 2\nif [ "$1" = get ]; then printf "%s\\n" {names}; else shift 3; exec "$@"; fi\n'
    for name, text in (("kubectl", kubectl), ("stackproof", f'#!/bin/sh\nexec {" ".join(STACKPROOF)} "$@"\n')):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    script = recipe.replace("/audit/", f"{audit}/")
    done = subprocess.run(["/bin/sh", "-eu", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [verify_log(tmp_path / f"{pod}.jsonl").entries for pod in (POD, "stackproof-authz-other")] == [25, 3]
    assert [verify_log(tmp_path / f"{pod}.jsonl").faults for pod in (POD, "stackproof-authz-other")] == [(), ()]


def test_a_volume_that_is_full_lets_no_request_through(site: Site) -> None:
    """A process that may write files of 8 blocks stands in for the volume: as long as nothing can be told of a decision, there is none."""
    full = Pods(site.pods.stack, site.pods.root / "full", site.pods.objects, {})
    log = full.inside(f"/audit/{POD}.jsonl")
    asking = httpx.Client(base_url=f"http://127.0.0.1:{full.port(9000)}", headers={"authorization": f"Bearer {KEY}"}, trust_env=False)
    with full.policy_service(prefix=("/bin/sh", "-c", 'ulimit -f 8; exec "$@"', "sh")), asking:
        found = [asking.get("/v1/models").status_code for _ in range(60)]
        granted = found.count(200)
        assert found == [200] * granted + [503] * (60 - granted)
        assert 0 < granted < 60
        assert asking.get("/healthz").status_code == 200
    verdict = verify_log(log)
    assert (verdict.entries, verdict.faults, verdict.torn) == (granted, (), False)


def test_a_daily_budget_is_kept_on_the_volume_when_another_pod_takes_over(site: Site, manifests: Renderer, tmp_path: Path) -> None:
    policy = load_policy().model_copy(update={"classes": {"default": RateClass(requests_per_day=2)}})
    (tmp_path / "daily.yaml").write_text(values_yaml(chart_values(plan_for("cpu"), policy)))
    pods = Pods(manifests(tmp_path / "daily.yaml", SITE, CHART / "ci" / "secured.yaml"), site.pods.root / "daily", site.pods.objects, {})
    body = {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "Hello"}]}

    def ask() -> int:
        headers = {"authorization": f"Bearer {KEY}", "x-request-id": os.urandom(8).hex()}
        return httpx.post(f"http://127.0.0.1:{pods.port(9000)}{CHAT}", headers=headers, json=body, trust_env=False, verify=False).status_code

    with pods.policy_service():
        assert [ask() for _ in range(3)] == [200, 200, 429]
    with pods.policy_service():
        assert ask() == 429


def test_a_request_is_one_trace_at_the_sites_collector(site: Site) -> None:
    request_id = site.ask().headers["x-request-id"]

    def told(spans: list[object]) -> bool:
        return any(getattr(span, "attributes", {}).get("guid:x-request-id") == request_id for span in spans)

    spans = [span for span in site.collector.wait(told) if span.attributes.get("guid:x-request-id") == request_id]
    assert {span.resource["service.name"] for span in spans} == {"stackproof-gateway"}
    assert any(span.attributes.get("stackproof.tenant") == "clinic" for span in spans)
    assert set(site.asked_for) == {COLLECTOR.partition(":")[0]}, "over TLS, by the collector's name"


def test_the_kubelets_way_of_publishing_turns_one_link(tmp_path: Path) -> None:
    publish(tmp_path, {"tls.crt": b"old"})
    before = (tmp_path / "tls.crt").stat().st_ino
    assert (tmp_path / "tls.crt").readlink() == Path("..data/tls.crt")
    publish(tmp_path, {"tls.crt": b"new"})
    assert ((tmp_path / "tls.crt").read_bytes(), (tmp_path / "tls.crt").stat().st_ino != before) == (b"new", True)
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("..2026_")) == ["..data", "tls.crt"]
