"""Handshakes with the real Envoy: what is refused, what is not, and a certificate that is renewed."""

import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from certificates import Authority
from gateway_kit import EchoGateway, start_echo_gateway

from stack.serving.policy import Tls, load_policy

pytestmark = pytest.mark.slow
OLD = "DEFAULT:@SECLEVEL=0"
"""Lets this side offer what it would not by default, so that the refusal is the gateway's."""


@dataclass(frozen=True)
class Site:
    gateway: EchoGateway
    server_ca: Authority
    client_ca: Authority
    folder: Path


def start(folder: Path, *, mutual: bool) -> Iterator[Site]:
    server_ca, client_ca = Authority.make(folder, "server-ca"), Authority.make(folder, "client-ca")
    server_ca.issue(folder / "tls.crt", folder / "tls.key", "gateway")
    client_ca.issue(folder / "client.crt", folder / "client.key", "client")
    tls = Tls(certificate=str(folder / "tls.crt"), key=str(folder / "tls.key"), client_ca=str(client_ca.pem) if mutual else None)
    with start_echo_gateway(folder, policy=load_policy().model_copy(update={"tls": tls})) as gateway:
        yield Site(gateway, server_ca, client_ca, folder)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from start(tmp_path_factory.mktemp("tls"), mutual=False)


@pytest.fixture(scope="module")
def mutual_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from start(tmp_path_factory.mktemp("mutual"), mutual=True)


def trusting(site: Site) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(site.server_ca.pem))


def shake(site: Site, context: ssl.SSLContext) -> ssl.SSLSocket:
    """A connection on which one request was answered, for in TLS 1.3 a server refuses a client's certificate after the handshake."""
    place = urlsplit(site.gateway.url)
    connection = context.wrap_socket(socket.create_connection((place.hostname, place.port), timeout=10), server_hostname="127.0.0.1")
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert connection.recv(1024).startswith(b"HTTP/1.1 200")
    return connection


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken_with_the_servers_certificate(site: Site, version: ssl.TLSVersion) -> None:
    context = trusting(site)
    context.minimum_version = context.maximum_version = version
    with shake(site, context) as connection:
        assert connection.version() == version.name.replace("_", ".")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_versions_are_refused_by_the_gateway(site: Site, version: ssl.TLSVersion) -> None:
    context = trusting(site)
    context.set_ciphers(OLD)
    context.minimum_version = context.maximum_version = version
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        shake(site, context)


@pytest.mark.parametrize(
    "cipher", ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA384", "DHE-RSA-AES128-GCM-SHA256", "NULL-SHA256"]
)
def test_ciphers_without_forward_secrecy_or_authenticated_encryption_are_refused(site: Site, cipher: str) -> None:
    context = trusting(site)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="ALERT_HANDSHAKE_FAILURE"):
        shake(site, context)


@pytest.mark.parametrize("cipher", ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"])
def test_modern_ciphers_of_tls_1_2_are_spoken(site: Site, cipher: str) -> None:
    context = trusting(site)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher)
    with shake(site, context) as connection:
        assert (connection.cipher() or ("",))[0] == cipher


def test_a_request_without_encryption_is_not_answered(site: Site) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(site.gateway.url.replace("https", "http") + "/healthz")


def test_answers_tell_the_browser_to_stay_with_tls(site: Site) -> None:
    for path, status in (("/healthz", 200), ("/elsewhere", 404)):
        answer = httpx.get(site.gateway.url + path, verify=trusting(site))
        assert (answer.status_code, answer.headers["strict-transport-security"]) == (status, "max-age=31536000")


def test_a_renewed_certificate_counts_without_a_restart(site: Site) -> None:
    def serial() -> object:
        with shake(site, trusting(site)) as connection:
            return (connection.getpeercert() or {})["serialNumber"]

    before = serial()
    site.server_ca.issue(site.folder / "tls.crt", site.folder / "tls.key", "gateway")
    deadline = time.monotonic() + 5
    while serial() == before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert serial() != before


def refusals(site: Site, counter: str) -> int:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(site.gateway.admin)), base_url="http://admin") as admin:
        found = re.findall(rf"\.ssl\.{counter}: (\d+)", admin.get("/stats").text)
    return sum(map(int, found))


def test_mutual_tls_refuses_no_certificate_and_one_of_another_authority(mutual_site: Site) -> None:
    mutual_site.gateway.reached.clear()
    foreign = trusting(mutual_site)
    mutual_site.server_ca.issue(mutual_site.folder / "foreign.crt", mutual_site.folder / "foreign.key", "client")
    foreign.load_cert_chain(mutual_site.folder / "foreign.crt", mutual_site.folder / "foreign.key")
    for context, counter in ((trusting(mutual_site), "fail_verify_no_cert"), (foreign, "fail_verify_error")):
        before = refusals(mutual_site, counter)
        with pytest.raises((ssl.SSLError, ConnectionError)):  # told why, or closed before that could be read
            shake(mutual_site, context)
        assert refusals(mutual_site, counter) == before + 1
    assert not mutual_site.gateway.reached


def test_mutual_tls_serves_a_client_of_its_authority_who_still_needs_a_key(mutual_site: Site) -> None:
    context = trusting(mutual_site)
    context.load_cert_chain(mutual_site.folder / "client.crt", mutual_site.folder / "client.key")
    shake(mutual_site, context).close()
    url = f"{mutual_site.gateway.url}/v1/models"
    assert httpx.get(url, verify=context).status_code == 401
    assert httpx.get(url, verify=context, headers={"authorization": f"Bearer {mutual_site.gateway.key}"}).status_code == 200
