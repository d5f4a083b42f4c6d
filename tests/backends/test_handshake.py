"""Whose certificate was not accepted, why, and what would change that; asked of a TLS server of our own that is as strict as a broker's."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from brokercli.backends import handshake
from brokercli.backends.handshake import asked_in_silence, not_trusted, speaks_tls
from brokercli.backends.tls import tls_context
from brokercli.model.connection import TLS
from tests.brokers.certificates import KEY, openssl, self_signed
from tests.brokers.server import HOST, wait_until
from tests.faults.proxy import listening

_AUTHORITY = """[ca]
default_ca=ours
[ours]
new_certs_dir=.
database=index
rand_serial=yes
default_md=sha256
policy=any
copy_extensions=copy
unique_subject=no
[any]
commonName=supplied
"""
_NOW, _PAST, _FUTURE = ("20200101000000Z", "20990101000000Z"), ("20200101000000Z", "20210101000000Z"), ("20600101000000Z", "20610101000000Z")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates for 127.0.0.1, which servers and clients show alike: NAME.pem and NAME.key; ca.pem signed all but `stranger`."""
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "authority").write_text(_AUTHORITY)
    (folder / "index").write_text("")
    self_signed(folder, "ca", "other-ca")
    for name, authority, place, (begin, end) in (
            ("good", "ca", f"IP:{HOST}", _NOW), ("expired", "ca", f"IP:{HOST}", _PAST), ("early", "ca", f"IP:{HOST}", _FUTURE),
            ("elsewhere", "ca", "DNS:other.example", _NOW), ("stranger", "other-ca", f"IP:{HOST}", _NOW)):
        openssl(folder, "req", *KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}", "-addext", f"subjectAltName={place}")
        openssl(folder, "ca", "-batch", "-notext", "-config", "authority", "-cert", f"{authority}.pem", "-keyfile", f"{authority}.key",
                "-in", f"{name}.csr", "-out", f"{name}.pem", "-startdate", begin, "-enddate", end)
    return folder


@contextmanager
def strict_server(folder: Path, certificate: str = "good", *, wants_ours: bool = True, before: bytes = b"") -> Iterator[int]:
    """A port that hangs up after the handshake, as a broker does that does not like our certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{certificate}.pem", folder / f"{certificate}.key")
    if wants_ours:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / "ca.pem")

    def shake_hands(client: socket.socket) -> None:
        client.sendall(before)
        context.wrap_socket(client, server_side=True).close()

    with listening(shake_hands) as port:
        yield port


def ours(folder: Path, certificate: str | None) -> TLS:
    authority = TLS(ca=str(folder / "ca.pem"))
    return authority if certificate is None else replace(authority, certificate=str(folder / f"{certificate}.pem"), key=str(folder / f"{certificate}.key"))


@pytest.mark.parametrize("before", [b"", b"INFO {}\r\n"], ids=["TLS first", "a line first"])
@pytest.mark.parametrize(("certificate", "text", "hint"), [
    (None, "it wants a client certificate", "give tls.certificate and tls.key"),
    ("stranger", "it does not accept our certificate (unknown CA)", "signed by a CA that the broker trusts"),
    ("expired", "it does not accept our certificate, which expired on 2021-01-01", "renew "),
    ("early", "it does not accept our certificate, which is not valid before 2060-01-01", "the clock of this machine"),
])
def test_what_a_broker_has_against_our_certificate_is_told(folder: Path, certificate: str | None, text: str, hint: str, before: bytes) -> None:
    with strict_server(folder, before=before) as port:
        refusal = asked_in_silence(HOST, port, ours(folder, certificate), 5, greets=bool(before))
    assert refusal is not None
    assert refusal.text == text
    assert hint in refusal.hint


def test_a_broker_that_hangs_up_for_another_reason_has_nothing_against_our_certificate(folder: Path) -> None:
    with strict_server(folder) as port:
        assert asked_in_silence(HOST, port, ours(folder, "good"), 5) is None


@pytest.mark.parametrize(("certificate", "authority", "words", "hint"), [
    ("good", "other-ca", "unable to get local issuer certificate", "tls.ca in the context"),
    ("expired", "ca", "certificate has expired", "has to renew it"),
    ("early", "ca", "certificate is not yet valid", "is the clock of this machine right?"),
    ("elsewhere", "ca", "IP address mismatch, certificate is not valid for '127.0.0.1'", "a name that the certificate holds, or say it: tls.server_name"),
])
def test_the_step_to_take_is_the_one_that_mends_a_brokers_certificate(folder: Path, certificate: str, authority: str, words: str, hint: str) -> None:
    with strict_server(folder, certificate, wants_ours=False) as port, socket.create_connection((HOST, port), 5) as raw, \
            pytest.raises(ssl.SSLCertVerificationError) as caught:
        tls_context(TLS(ca=str(folder / f"{authority}.pem"))).wrap_socket(raw, server_hostname=HOST)
    refusal = not_trusted(caught.value)
    assert refusal.text == words
    assert hint in refusal.hint


def test_no_name_is_to_be_said_where_it_cannot(folder: Path) -> None:
    with strict_server(folder, "elsewhere", wants_ours=False) as port, socket.create_connection((HOST, port), 5) as raw, \
            pytest.raises(ssl.SSLCertVerificationError) as caught:
        tls_context(TLS(ca=str(folder / "ca.pem"))).wrap_socket(raw, server_hostname=HOST)
    assert "server_name" not in not_trusted(caught.value, name_can_be_said=False).hint


def test_a_connection_that_is_reset_before_the_handshake_is_not_taken_for_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: Callable[..., socket.socket] = socket.create_connection

    def until_it_is_reset(place: tuple[str, int], seconds: float) -> socket.socket:
        connection = opened(place, seconds)
        wait_until(lambda: _is_reset(connection), 10, "the reset")
        return connection

    with socket.create_server((HOST, 0)) as server:
        def serve() -> None:
            connection, _ = server.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        monkeypatch.setattr(handshake.socket, "create_connection", until_it_is_reset)
        assert not speaks_tls(HOST, server.getsockname()[1], 10)


def _is_reset(connection: socket.socket) -> bool:
    try:
        connection.getpeername()
    except OSError:
        return True
    return False
