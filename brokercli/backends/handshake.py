"""What a TLS handshake came to: whose certificate was not accepted, why, and what to do about it, in the same words for every broker."""

from __future__ import annotations

import re
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from brokercli.backends.tls import tls_context
from brokercli.model.connection import TLS

_EXPIRED, _NOT_YET_VALID, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64
"""OpenSSL's X509_V_ERR_… of what a renewed certificate, a clock or another name would mend."""
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class Refusal(NamedTuple):
    """One part of a sentence, and what to do."""

    text: str
    hint: str


def not_trusted(problem: ssl.SSLCertVerificationError, *, name_can_be_said: bool = True) -> Refusal:
    """Say why we did not accept a broker's certificate."""
    reason = problem.verify_message.rstrip(".")
    if problem.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
        return Refusal(reason, "connect by a name that the certificate holds" + (", or say it: tls.server_name in the context" if name_can_be_said else ""))
    if problem.verify_code == _EXPIRED:
        return Refusal(reason, "whoever runs the broker has to renew it; or is the clock of this machine wrong?")
    if problem.verify_code == _NOT_YET_VALID:
        return Refusal(reason, "is the clock of this machine right?")
    return Refusal(reason, "give the CA that signed it: tls.ca in the context")


def ours_refused(problem: ssl.SSLError, tls: TLS) -> Refusal | None:
    """Say what a broker has against our certificate; None where the alert is about something else, or is none."""
    alert = (problem.reason or "").partition("ALERT_")[2]
    # with TLS 1.2 a certificate that did not come is bad to some and a failed handshake to others
    if not alert or not ("CERTIFICATE" in alert or alert in ("UNKNOWN_CA", "HANDSHAKE_FAILURE", "ACCESS_DENIED")):
        return None
    if tls.certificate is None:
        return Refusal("it wants a client certificate", "give tls.certificate and tls.key in the context")
    if outside := _outside_its_time(tls.certificate):
        return Refusal(f"it does not accept our certificate, which {outside}", f"renew {tls.certificate}; or is the clock of this machine wrong?")
    reason = alert.replace("_", " ").lower().replace("unknown ca", "unknown CA")
    return Refusal(f"it does not accept our certificate ({reason})",
                   "tls.certificate has to be signed by a CA that the broker trusts, with the certificates in between in the same file")


def asked_in_silence(host: str, port: int, tls: TLS, seconds: float, *, greets: bool = False) -> Refusal | None:
    """Make a handshake, say nothing, and return what the broker has against our certificate.

    With TLS 1.3 it says so after the handshake, and whoever has sent something by then may only see the connection reset.
    `greets`: the broker's first line comes in the clear, before TLS.
    """
    try:
        with socket.create_connection((host, port), seconds) as raw:
            while greets and raw.recv(1) not in (b"\n", b""):
                pass
            with tls_context(tls).wrap_socket(raw, server_hostname=tls.server_name or host) as encrypted:
                encrypted.recv(1)
    except ssl.SSLError as problem:
        return ours_refused(problem, tls)
    except OSError:
        return None
    return None


def speaks_tls(host: str, port: int, seconds: float) -> bool:
    """Whether a port answers in TLS, with whatever certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        # asked for by name: on a connection that is reset already, wrapping alone succeeds without a word
        with socket.create_connection((host, port), seconds) as raw, \
                context.wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False) as connection:
            connection.do_handshake()
            return True
    except ssl.SSLError as problem:
        # only what a TLS server says of itself counts: a connection can end in the handshake in many ways
        return any(word in str(problem) for word in ("ALERT", "UNSUPPORTED_PROTOCOL"))
    except OSError:
        return False


def _outside_its_time(certificate: str) -> str | None:
    """Say that a certificate has expired or is not valid yet; None where it is, and where that cannot be told."""
    try:
        first = _CERTIFICATE.search(Path(certificate).read_bytes())
        begin, end = _validity(ssl.PEM_cert_to_DER_cert(first[0].decode())) if first else (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
    except (OSError, ValueError, IndexError):
        return None
    now = datetime.now(UTC)
    return f"expired on {end:%Y-%m-%d}" if end < now else f"is not valid before {begin:%Y-%m-%d}" if begin > now else None


def _validity(certificate: bytes) -> tuple[datetime, datetime]:
    """Return from when until when a certificate is valid; the standard library tells it of those of a peer only.

    RFC 5280, 4.1: the signed part is version (which may be missing), serial number, algorithm, issuer, validity.
    """
    signed = _pieces(_pieces(_pieces(certificate)[0][1])[0][1])
    begin, end = _pieces(signed[3 + (signed[0][0] == 0xA0)][1])
    return _time(*begin), _time(*end)


def _time(tag: int, text: bytes) -> datetime:
    return datetime.strptime(text.decode(), "%y%m%d%H%M%SZ" if tag == 0x17 else "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _pieces(der: bytes) -> list[tuple[int, bytes]]:
    """Split DER: a tag, a length of its own or the number of bytes that say it, and as many bytes."""
    pieces, at = [], 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            digits = length & 0x7F
            length, at = int.from_bytes(der[at:at + digits], "big"), at + digits
        pieces.append((tag, der[at:at + length]))
        at += length
    return pieces
