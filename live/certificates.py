"""Reading a certificate: whose it is, until when it is valid, what it may be used for, and its fingerprint.

Used by `live/tls.py` (expiry, deny list) and `shell/certificate_authority.py` (which makes them). Only what laulima
needs of X.509 is read; whether a certificate is to be trusted is never judged here but by OpenSSL, in the handshake.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from model.errors import ConfigurationError
from model.job import SECOND

SERVER_NAME: Final = "laulima-server"
"""The name in a server's certificate, whatever its address: agents ask for it, and no host can have it."""
PEM_MAX: Final = 1 << 20
"""Bytes of a file of certificates."""

_INTEGER, _SEQUENCE, _UTC_TIME, _VERSION, _EXTENSIONS = 0x02, 0x30, 0x17, 0xA0, 0xA3
_NAMES: Final = bytes.fromhex("0603551d11")
"""subjectAltName, as DER writes its number"""
_DNS_NAME: Final = 0x82


class CertificateError(ConfigurationError):
    """A certificate or key that cannot be used."""


class Certificate(Struct, frozen=True):
    """One certificate."""

    names: tuple[str, ...]
    not_after_ns: int
    """wall clock"""
    fingerprint: str
    """SHA-256 of its DER form, in hex"""

    @property
    def name(self) -> str:
        """The one name that it is for; empty: it has none, or several."""
        return self.names[0] if len(self.names) == 1 else ""


def fingerprint_of(der: bytes) -> str:
    """How a deny list names a certificate."""
    return hashlib.sha256(der).hexdigest()


def read_certificate(path: Path) -> Certificate:
    """The first certificate in a PEM file. Raises CertificateError, OSError."""
    with open(path, "rb") as file:
        text = file.read(PEM_MAX).decode("ascii", errors="replace")
    begin = text.find("-----BEGIN CERTIFICATE-----")
    end = text.find("-----END CERTIFICATE-----")
    try:
        return certificate_of(ssl.PEM_cert_to_DER_cert(text[begin : end + len("-----END CERTIFICATE-----")]))
    except ValueError as error:
        raise CertificateError(f"{path} is no certificate: {error}", "laulima cert makes them") from error


def certificate_of(der: bytes) -> Certificate:
    """Raises ValueError for what is no certificate."""
    try:
        fields = list(_parts(_only(_only(der))))
        if fields[0][0] == _VERSION:
            del fields[0]
        validity = [_time(tag, content) for tag, content in _parts(fields[3][1])]
        names: tuple[str, ...] = ()
        for tag, content in fields[6:]:
            if tag == _EXTENSIONS:
                names = tuple(_names(_only(content)))
        return Certificate(names, validity[1], fingerprint_of(der))
    except IndexError as error:
        raise ValueError("it ends too early") from error


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, content) of each element of DER."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        if at + length > len(data):
            raise ValueError("it ends too early")
        yield tag, data[at : at + length]
        at += length


def _only(data: bytes) -> bytes:
    """The content of the first element."""
    return next(_parts(data), (0, b""))[1]


def _time(tag: int, content: bytes) -> int:
    form = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return int(datetime.strptime(content.decode("ascii"), form).replace(tzinfo=UTC).timestamp()) * SECOND


def _names(extensions: bytes) -> Iterator[str]:
    for _, extension in _parts(extensions):
        if extension.startswith(_NAMES):
            *_, (_, wrapped) = _parts(extension)
            for tag, name in _parts(_only(wrapped)):
                if tag == _DNS_NAME:
                    yield name.decode("ascii")
