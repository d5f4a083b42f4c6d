"""Files of certificates and keys that cannot be used are named, with the reason; and nobody is asked for a password."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from brokercli.backends.tls import tls_context
from brokercli.model.connection import TLS, Secret
from brokercli.model.errors import UsageProblem
from tests.brokers.certificates import openssl, self_signed, signed
from tests.brokers.server import HOST
from tests.commandline import CommandLine, Terminal
from tests.conftest import BROKERS

PASSWORD = "opens-the-key"
SCHEMES = {"kafka": "kafkas", "nats": "tls", "rabbitmq": "amqps"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates mine.pem and other.pem with their keys, mine.key locked as well, and a text that is neither."""
    folder = tmp_path_factory.mktemp("tls")
    self_signed(folder, "mine", "other")
    openssl(folder, "pkcs8", "-topk8", "-in", "mine.key", "-out", "locked.key", "-passout", f"pass:{PASSWORD}")
    openssl(folder, "ec", "-in", "mine.key", "-out", "old.key", "-aes128", "-passout", f"pass:{PASSWORD}")
    (folder / "text").write_text("this is no certificate\n")
    return folder


def ours(files: Path, certificate: str, key: str | None, password: str | None = None) -> TLS:
    return TLS(certificate=str(files / certificate), key=None if key is None else str(files / key), key_password=None if password is None else Secret(password))


@pytest.mark.parametrize(("key", "password"), [("mine.key", None), ("mine.key", "not asked for"), ("locked.key", PASSWORD), ("old.key", PASSWORD)])
def test_a_certificate_with_its_key_is_taken(files: Path, key: str, password: str | None) -> None:
    tls_context(ours(files, "mine.pem", key, password))


@pytest.mark.parametrize(("certificate", "key", "password", "words"), [
    ("mine.pem", "locked.key", None, "locked.key is locked, and no password for it is given."),
    ("mine.pem", "old.key", None, "old.key is locked, and no password for it is given."),
    ("mine.pem", "locked.key", "wrong-secret", "locked.key does not open with the password given."),
    ("mine.pem", "old.key", "wrong-secret", "old.key does not open with the password given."),
    ("mine.pem", "other.key", None, "other.key is not the key of the first certificate in "),
    ("mine.pem", None, None, "mine.pem holds no private key."),
    ("mine.pem", "text", None, "text holds no private key."),
    ("text", "mine.key", None, "text holds no certificate."),
    ("mine.pem", "absent.key", None, "absent.key cannot be read: No such file or directory."),
    (".", "mine.key", None, "cannot be read: Is a directory."),
])
def test_what_cannot_be_used_is_named_with_the_reason(files: Path, certificate: str, key: str | None, password: str | None, words: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        tls_context(ours(files, certificate, key, password))
    assert words in str(caught.value)
    assert caught.value.hint
    assert "wrong-secret" not in f"{caught.value} {caught.value.hint}"


def test_an_authority_that_is_no_certificate_is_named(files: Path) -> None:
    with pytest.raises(UsageProblem, match="text holds no certificate that could be trusted"):
        tls_context(TLS(ca=str(files / "text")))


def test_an_authority_that_openssl_made_is_trusted_under_a_python_that_holds_it_to_the_letter(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ssl.create_default_context

    def strict(**given: Any) -> ssl.SSLContext:
        context = made(**given)
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # as 3.13 makes it by itself
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    signed(files, "server", "mine", "DNS:localhost")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(files / "server.pem", files / "server.key")
    to_us, to_it = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(to_it, to_us, server_side=True)
    client = tls_context(TLS(ca=str(files / "mine.pem"))).wrap_bio(to_us, to_it, server_hostname="localhost")
    for side in (client, server, client):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    assert client.getpeercert()


@pytest.mark.parametrize("broker", [name for name in BROKERS if name in SCHEMES])
def test_nobody_at_a_terminal_is_asked_for_the_password_of_a_key(cli: CommandLine, files: Path, broker: str) -> None:
    with socket.create_server((HOST, 0)) as silent:
        url = f"{SCHEMES[broker]}://{HOST}:{silent.getsockname()[1]}"
        added = cli("context", "add", "locked", "--url", url, "--certificate", str(files / "mine.pem"), "--key", str(files / "locked.key"))
        assert added.code == 0, added.stderr
        with Terminal(cli.home, ["ls", "--context", "locked"], columns=300) as terminal:
            assert terminal.wait() == 2, terminal.screen
            assert b"locked.key is locked, and no password for it is given" in terminal.screen
            assert b"tls.key_password" in terminal.screen
