"""The TLS that settings ask for; where one of their files cannot be used, which one and why."""

from __future__ import annotations

import ssl
from pathlib import Path

from brokercli.model.connection import TLS
from brokercli.model.errors import UsageProblem


def check_files(tls: TLS) -> None:
    """Raise UsageProblem that names a file of certificates or keys that cannot be read; OpenSSL names none."""
    for path in (tls.ca, tls.certificate, tls.key):
        if path is not None:
            try:
                with Path(path).open("rb"):
                    pass
            except OSError as problem:
                raise UsageProblem(f"{path} cannot be read: {problem.strerror}.", hint="brokercli context show says where the path comes from") from None


def tls_context(tls: TLS) -> ssl.SSLContext:
    """Return the context that the settings ask for; certificates and names are checked unless `insecure`.

    Nobody is asked for the password of a key. Raises UsageProblem that names the file that cannot be used.
    """
    check_files(tls)
    try:
        context = ssl.create_default_context(cafile=tls.ca)
    except ssl.SSLError:
        raise UsageProblem(f"{tls.ca} holds no certificate that could be trusted.", hint="tls.ca is a PEM file with the certificate of the CA") from None
    # Python 3.13 and newer hold authorities to RFC 5280 by the letter: one without a keyUsage, as `openssl req -x509` makes it, would be
    # trusted for Kafka, by other tools and under an older Python, and not here
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if tls.certificate is not None:
        # without any password OpenSSL asks for one, on the terminal
        password = "" if tls.key_password is None else tls.key_password.reveal()
        try:
            context.load_cert_chain(tls.certificate, tls.key, password)
        except ssl.SSLError as problem:
            raise _unusable(tls.certificate, tls.key or tls.certificate, problem, password_given=tls.key_password is not None) from None
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _unusable(certificate: str, key: str, problem: ssl.SSLError, *, password_given: bool) -> UsageProblem:
    if b"-----BEGIN CERTIFICATE-----" not in Path(certificate).read_bytes():
        return UsageProblem(f"{certificate} holds no certificate.", hint="tls.certificate is a PEM file")
    locked = Path(key).read_bytes()
    if b"PRIVATE KEY-----" not in locked:
        return UsageProblem(f"{key} holds no private key.", hint="tls.key is a PEM file")
    if problem.reason == "KEY_VALUES_MISMATCH":
        return UsageProblem(f"{key} is not the key of the first certificate in {certificate}.", hint="tls.certificate and tls.key in the context go together")
    if b"ENCRYPTED" in locked and not password_given:
        return UsageProblem(f"{key} is locked, and no password for it is given.", hint="tls.key_password in the context")
    if b"ENCRYPTED" in locked:
        return UsageProblem(f"{key} does not open with the password given.", hint="tls.key_password in the context")
    return UsageProblem(f"{certificate} and {key} cannot be used: {problem.reason or problem}.", hint="they are PEM files: tls.certificate and tls.key")
