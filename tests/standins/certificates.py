"""Certificates, and the authorities that issued them: made for a test, trusted by nobody else."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_PEM = serialization.Encoding.PEM
_AUTHORITY = x509.BasicConstraints(ca=True, path_length=None)


def certificates(folder: Path) -> Path:
    """Write ``server.pem``, certificate and key of localhost; returns the file of the authority."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = _name("Workshop CA")
    authority = (
        _known_by_key(issuer, issuer, authority_key)
        .add_extension(_AUTHORITY, critical=True)
        .add_extension(_signs(), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        _known_by_key(_name("localhost"), issuer, key)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    _write(folder / "server.pem", certificate, key)
    (folder / "authority.pem").write_bytes(authority.public_bytes(_PEM))
    return folder / "authority.pem"


def makers(folder: Path, serial: str) -> tuple[str, str]:
    """Write ``printer.pem`` and return the authority's PEM and the certificate's fingerprint.

    As Bambu's, the authority has no key usage, and the certificate no address.
    """
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = _name("BBL CA")
    authority = (
        _unsigned(issuer, issuer, authority_key)
        .add_extension(_AUTHORITY, critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    own = _unsigned(_name(serial), issuer, key).sign(authority_key, hashes.SHA256())
    _write(folder / "printer.pem", own, key)
    return authority.public_bytes(_PEM).decode(), own.fingerprint(hashes.SHA256()).hex()


def _write(path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a certificate and its key."""
    plain = serialization.NoEncryption()
    secret = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(certificate.public_bytes(_PEM) + secret)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _known_by_key(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    mark = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return _unsigned(subject, issuer, key).add_extension(mark, critical=False)


def _unsigned(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _signs() -> x509.KeyUsage:
    """Python refuses an authority that does not say that it signs."""
    names = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(key_cert_sign=True, **dict.fromkeys(names, False))
