"""Certificates for the tests, made when they are needed: an authority, and those that it signs."""

from __future__ import annotations

import datetime as dt
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)


def name(common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests"), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


class Authority:
    """Signs certificates; its own is the file `path`."""

    def __init__(self, folder: Path, common: str) -> None:
        self.folder = folder
        self.common = common
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.path = folder / f"{common}.pem"
        self.path.write_bytes(_pem(self._signed(common, self.key.public_key(), None)))

    def _signed(self, common: str, key: ec.EllipticCurvePublicKey, hosts: tuple[str, ...] | None) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(common))
            .issuer_name(name(self.common))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.BasicConstraints(ca=hosts is None, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )
        if hosts is None:  # RFC 5280 §4.2.1.3, which Python insists on from 3.13 on
            uses = dict.fromkeys(
                ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                 "encipher_only", "decipher_only"), False,
            )  # fmt: skip
            builder = builder.add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **uses), critical=True)
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general(host) for host in hosts]), critical=False
            )
        return builder.sign(self.key, hashes.SHA256())

    def sign(self, common: str, *hosts: str, password: bytes | None = None) -> tuple[Path, Path]:
        """A certificate for these hosts (or of a client), and its key: two files."""
        key = ec.generate_private_key(ec.SECP256R1())
        hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        paths = self.folder / f"{common}.crt", self.folder / f"{common}.key"
        paths[0].write_bytes(_pem(self._signed(common, key.public_key(), hosts)))
        paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden))
        return paths


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
