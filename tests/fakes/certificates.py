"""A certificate authority and certificates for tests, made anew each time."""

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


@dataclass(frozen=True)
class Authority:
    """`pem` is its own certificate, as clients or the gateway trust it."""

    name: x509.Name
    key: rsa.RSAPrivateKey
    pem: Path

    @classmethod
    def make(cls, folder: Path, common_name: str) -> "Authority":
        name, key = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]), rsa.generate_private_key(65537, 2048)
        path = folder / f"{common_name}.pem"
        certificate = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(key, hashes.SHA256())
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(name, key, path)

    def issue(self, certificate: Path, key: Path, common_name: str, *, host: x509.GeneralName = LOOPBACK) -> None:
        """Write a certificate for `host` and its key by renaming, the key first."""
        own = rsa.generate_private_key(65537, 2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        names = x509.SubjectAlternativeName([host])
        signed = _builder(subject, self.name, own).add_extension(names, critical=False).sign(self.key, hashes.SHA256())
        _replace(key, own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        _replace(certificate, signed.public_bytes(serialization.Encoding.PEM))

    def serving(self, folder: Path, *, host: x509.GeneralName = LOOPBACK) -> ssl.SSLContext:
        """For a server, with a certificate of this authority in tls.crt and tls.key of `folder`."""
        self.issue(folder / "tls.crt", folder / "tls.key", "server", host=host)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        return context


def _builder(subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)
