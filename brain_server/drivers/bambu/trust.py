"""Whether what answers is the printer. It is asked before the access code is said to anybody.

A Bambu printer's certificate names its serial number and no address, and is issued by its maker. It is
known by its fingerprint, by the maker's authority, or by both.
"""

import asyncio
import base64
import binascii
from dataclasses import dataclass
import hashlib
import re
import ssl
from typing import Any, Final

from brain_server.errors import DeviceError, InvalidRequest

CONNECT_S: Final = 10.0

type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_PEM: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """By what one printer is known."""

    serial: str
    fingerprint: str = ""
    authority: bytes = b""

    def context(self) -> ssl.SSLContext:
        """Return how TLS is spoken to it; what the certificate says is left to ``check``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        if not self.authority:
            context.verify_mode = ssl.CERT_NONE
            return context
        # The maker's authority lacks the key usage that the strict check wants, and may be one of several.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            context.load_verify_locations(cadata=self.authority)
        except ssl.SSLError as err:
            raise _wrong("authority", "This is not a certificate") from err
        return context

    def check(self, certificate: bytes | None) -> None:
        """Raise InvalidRequest ``invalid_option`` unless this certificate is the printer's."""
        if not certificate:
            raise _wrong("host", "What answers there shows no certificate")
        if _common_name(certificate).upper() != self.serial.upper():
            raise _wrong("serial", "The printer at this address has another serial number")
        seen = hashlib.sha256(certificate).hexdigest()
        if self.fingerprint and self.fingerprint != seen:
            raise _wrong("fingerprint", f"The printer shows another certificate: {seen}")
        if not self.fingerprint and not self.authority:
            raise _wrong("fingerprint", f"To trust the printer's certificate, enter {seen}")


def trust(serial: str, fingerprint: Any, authority: Any) -> Trust:
    """Return the trust that options stand for; InvalidRequest names the wrong one."""
    plain = re.sub(r"[:\s]", "", str(fingerprint or "")).lower()
    if plain and not re.fullmatch(r"[0-9a-f]{64}", plain):
        raise _wrong("fingerprint", "A fingerprint (SHA-256) has 64 hexadecimal digits")
    return Trust(serial=serial, fingerprint=plain, authority=_certificates(str(authority or "")))


async def connect(host: str, port: int, known: Trust) -> Streams:
    """Open a TLS connection to the printer itself; DeviceError ``cannot_connect``, or what ``check`` raises."""
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(
                host, port, ssl=known.context(), server_hostname=host
            )
    except ssl.SSLCertVerificationError as err:
        raise untrusted() from err
    except (OSError, UnicodeError) as err:
        raise DeviceError("cannot_connect", "The printer does not answer") from err
    try:
        known.check(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
    except InvalidRequest:
        writer.transport.abort()
        raise
    return reader, writer


def untrusted() -> InvalidRequest:
    """Return the error for a certificate that the given authority did not issue."""
    return _wrong("authority", "Another authority issued the printer's certificate")


def _certificates(text: str) -> bytes:
    """Return the certificates of a PEM text as DER, also of one whose lines a form has joined."""
    found = _PEM.findall(text)
    if text and not found:
        raise _wrong("authority", "A certificate begins with -----BEGIN CERTIFICATE-----")
    try:
        return b"".join(base64.b64decode("".join(body.split()), validate=True) for body in found)
    except binascii.Error as err:
        raise _wrong("authority", "This is not a certificate") from err


def _common_name(certificate: bytes) -> str:
    from cryptography import x509  # noqa: PLC0415 - only where there is such a printer

    try:
        subject = x509.load_der_x509_certificate(certificate).subject
    except ValueError:
        return ""
    names = subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def _wrong(field: str, words: str) -> InvalidRequest:
    return InvalidRequest("invalid_option", words, field=field)
