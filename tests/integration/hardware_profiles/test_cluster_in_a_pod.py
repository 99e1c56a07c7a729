"""Inside a pod: the API server over TLS, with the pod's own address, token and certificate authority."""

import ipaddress
import re
import signal
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kube_api import FakeCluster, fleet, kubeconfig, node, serving

from stack.hardware_profiles.cluster import ClusterError, collect_cluster, connect
from stack.hardware_profiles.cluster import target as target_module
from stack.hardware_profiles.cluster.publish import Place, publish

pytestmark = pytest.mark.slow


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    """What Kubernetes mounts: a token and a CA; and the server's key, which a pod has not."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "ca.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "server.key").write_bytes(private)
    (tmp_path / "token").write_text("token of the pod")
    return tmp_path


@pytest.fixture
def tls(credentials: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(credentials / "ca.crt", credentials / "server.key")
    return context


def test_without_any_option_a_pod_reads_its_own_cluster(credentials: Path, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    from kubernetes.config import incluster_config

    # Where the client and we look for the mounted files: a place that only a pod has.
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(credentials / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(credentials / "ca.crt"))
    monkeypatch.setattr(target_module, "IN_CLUSTER_TOKEN", credentials / "token")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with serving(FakeCluster(nodes=fleet(4)), tls) as url:
        host, port = url.removeprefix("https://").split(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        api = connect(None, None)
        assert api.server == url
        assert len(collect_cluster(api, namespace="stack").nodes) == 4


def test_a_server_of_another_authority_is_not_spoken_to(credentials: Path, tls: ssl.SSLContext) -> None:
    cluster = FakeCluster(nodes=fleet(1))
    with serving(cluster, tls) as url, pytest.raises(ClusterError, match=r"no secure connection \(self-signed certificate.*certificate authority") as told:
        collect_cluster(connect(kubeconfig(url, credentials / "kubeconfig"), None), namespace="stack")
    assert "\n" not in str(told.value)
    assert cluster.requests == []


def test_a_node_publishes_over_tls_to_the_authority_it_knows(credentials: Path, tls: ssl.SSLContext) -> None:
    cluster = FakeCluster(nodes=[node("n1")])
    with serving(cluster, tls) as url:
        publish(Place("stackproof", "n1", "stack", "pod", "uid"), url, credentials)
    assert list(cluster.config_maps) == [("stack", "stackproof-inventory.n1")]


def test_a_node_whose_credentials_are_missing_says_so_and_goes_on_until_it_is_stopped() -> None:
    options = ["--name", "stackproof", "--node", "n1", "--namespace", "stack", "--pod", "p", "--pod-uid", "u"]
    child = subprocess.Popen([sys.executable, "-m", "stack.hardware_profiles.cluster.publish", *options], stderr=subprocess.PIPE, text=True)
    try:
        assert child.stderr is not None
        assert re.match(r"inventory not written: .*token", child.stderr.readline())
        assert child.poll() is None
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=30) == 0
    finally:
        child.kill()
        child.wait()


def test_a_name_too_long_for_a_config_map_is_refused() -> None:
    options = ["--name", "stackproof", "--node", "n" * 250, "--namespace", "stack", "--pod", "p", "--pod-uid", "u"]
    done = subprocess.run([sys.executable, "-m", "stack.hardware_profiles.cluster.publish", *options], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "--node: with --name it is too long" in done.stderr
