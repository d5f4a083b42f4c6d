"""Connecting to NATS: who is let in, what goes wrong, and that no credential leaves in clear where TLS was asked for."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brokercli.backends.dead_letters import Move, RepairPolicy
from brokercli.backends.nats.backend import NatsBackend
from brokercli.model.address import Address
from brokercli.model.connection import TLS, Connection, Secret
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, Unreachable, UsageProblem
from brokercli.model.message import Message
from brokercli.model.position import End
from tests.backends.nats_letters import read_all
from tests.backends.nats_streams import Streams, bodies, everything, publish, some, stream, subject
from tests.brokers.certificates import self_signed, signed
from tests.brokers.nats import Nats
from tests.brokers.server import HOST, free_port

PASSWORD = "nats-s3cret"
_USERS = f"""{{users: [
  {{user: "all", password: "{PASSWORD}"}}
  {{user: "narrow", password: "{PASSWORD}", permissions: {{
      publish: ["allowed.>", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.NAMES"], subscribe: ["_INBOX.>", "allowed.>"]}}}}
  {{user: "nojs", password: "{PASSWORD}", permissions: {{publish: ["NARROW.>"], subscribe: ["_INBOX.>"]}}}}
  {{user: "hears", password: "{PASSWORD}", permissions: {{publish: ["heard.>"], subscribe: ["heard.>"]}}}}
  {{user: "chooses", password: "{PASSWORD}", permissions: {{
      publish: ["$JS.API.STREAM.INFO.*", "$JS.API.STREAM.NAMES", "$JS.API.CONSUMER.CREATE.*.*.chosen.>", "$JS.API.CONSUMER.MSG.NEXT.>",
                "$JS.API.CONSUMER.DELETE.>"], subscribe: ["_INBOX.>"]}}}}
  {{user: "waits", password: "{PASSWORD}", permissions: {{publish: {{deny: ["$JS.API.CONSUMER.MSG.NEXT.>", "$JS.API.DIRECT.GET.>"]}}}}}}
  {{user: "mends", password: "{PASSWORD}", permissions: {{publish: {{deny: ["$JS.API.STREAM.NAMES"]}}}}}}
]}}"""


def refusal(connection: Connection) -> BrokercliError:
    with pytest.raises(BrokercliError) as refused:
        NatsBackend(connection)
    return refused.value


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a server's certificate for `localhost`, a client's, and that of a stranger, as PEM files."""
    folder = tmp_path_factory.mktemp("certificates")
    self_signed(folder, "ca", "stranger")
    signed(folder, "server", "ca", "DNS:localhost")
    signed(folder, "client", "ca", "DNS:client")
    return folder


def _tls(folder: Path, extra: str = "") -> str:
    return f'{{cert_file: "{folder}/server.pem", key_file: "{folder}/server.key", ca_file: "{folder}/ca.pem"{extra}}}'


class SecureNats(Nats):
    """One that wants TLS: its own test that it is up would have to know that."""

    def answers(self) -> bool:
        with suppress(OSError), socket.create_connection((HOST, self.port), 0.5):
            return True
        return False


@pytest.fixture(scope="session")
def guarded(servers: Callable[..., Nats]) -> Nats:
    """A server with users."""
    return servers(Nats, settings={"authorization": _USERS})


@pytest.fixture(scope="session")
def secure(servers: Callable[..., SecureNats], certificates: Path) -> Connection:
    """A server with TLS and a login, as the connection that it lets in."""
    server = servers(SecureNats, settings={"tls": _tls(certificates), "authorization": _USERS})
    return Connection("tls", (("localhost", server.port),), user="all", password=Secret(PASSWORD), tls=TLS(ca=str(certificates / "ca.pem")))


def login(server: Nats, user: str = "all", password: str = PASSWORD) -> Connection:
    return Connection("nats", ((HOST, server.port),), user=user, password=Secret(password), connect_timeout=20.0)


@pytest.fixture
def administered(guarded: Nats) -> Iterator[Streams]:
    """Streams on the guarded server, made by somebody who may."""
    made = Streams(guarded.address, {"user": "all", "pass": PASSWORD})
    yield made
    made.close()


def test_a_wrong_password_is_said_without_showing_it(guarded: Nats) -> None:
    for connection in (login(guarded, password="wrong-one"), replace(login(guarded), user=None, password=None), replace(login(guarded), user="nobody")):
        error = refusal(connection)
        assert isinstance(error, NotAuthorised)
        assert "refused the login" in str(error)
        assert PASSWORD not in f"{error}{error.hint}"
        assert "wrong-one" not in f"{error}{error.hint}"


def test_a_token_logs_in(servers: Callable[..., Nats]) -> None:
    server = servers(Nats, settings={"authorization": '{token: "tok-s3cret"}'})
    plain = Connection("nats", ((HOST, server.port),))
    with NatsBackend(replace(plain, token=Secret("tok-s3cret"))) as backend:
        assert list(backend.list()) == []
    error = refusal(replace(plain, token=Secret("other")))
    assert isinstance(error, NotAuthorised)
    assert "with the token" in str(error)


def test_what_this_login_may_not_do_is_said_by_name(administered: Streams, guarded: Nats) -> None:
    name = administered.make(subjects=[f"allowed.{administered.subject()}", f"forbidden.{administered.subject()}"])
    where = administered.api(f"STREAM.INFO.{name}")["config"]["subjects"]
    with NatsBackend(login(guarded, "narrow")) as backend:
        assert publish(backend.publisher(subject(where[0]), _policy()), [Message(b"fine")]).confirmed == 1
        receipts = publish(backend.publisher(subject(where[1]), _policy()), [Message(b"%d" % number) for number in range(3000)])
        assert (receipts.confirmed, receipts.refused) == (0, 3000)
        assert "not permitted to publish to forbidden." in receipts.problems[0].reason
        with pytest.raises(NotAuthorised, match=r"User 'narrow' is not permitted to publish to \$JS\.API\.CONSUMER\.CREATE"):
            backend.look(stream(name), _span())
        with pytest.raises(NotAuthorised, match=r"not permitted to subscribe to forbidden\.>"):
            backend.look(subject("forbidden.>"), _live())
        # the connection has survived all of it
        assert publish(backend.publisher(subject(where[0]), _policy()), [Message(b"still")]).confirmed == 1
        core = publish(backend.publisher(subject("forbidden.x"), _policy(fire_and_forget=True)), [Message(b"a"), Message(b"b")])
        assert (core.confirmed, core.refused) == (0, 2)


def test_a_login_without_the_jetstream_api_still_publishes_with_acknowledgements(administered: Streams, guarded: Nats) -> None:
    where = f"NARROW.{administered.subject()}"
    name = administered.make(subjects=[where])
    with NatsBackend(login(guarded, "nojs")) as backend:
        publisher = backend.publisher(subject(where), _policy())
        assert "may not ask" in publisher.notes[0]
        assert publish(publisher, [Message(b"%d" % number) for number in range(100)]).confirmed == 100
        receipts = publish(backend.publisher(subject("NARROW.nobody"), _policy()), [Message(b"x")])
        assert (receipts.refused, receipts.problems[0].reason) == (1, "no stream listens on its subject")
        with pytest.raises(NotAuthorised):
            list(backend.list())
    assert administered.state(name)["messages"] == 100


def test_a_login_that_may_read_some_subjects_of_a_stream_reads_these(administered: Streams, guarded: Nats) -> None:
    chosen, other = f"chosen.{administered.subject()}", administered.subject()
    name = administered.make(subjects=[f"{chosen}.*", other], allow_direct=False)
    administered.fill(f"{chosen}.a", [b"1", b"2"])
    administered.fill(other, [b"secret"])
    with NatsBackend(login(guarded, "chooses")) as backend:
        for where in (f"{chosen}.a", f"{chosen}.*"):
            assert bodies(everything(backend.look(subject(where), _span()))) == [b"1", b"2"]
        for source in (subject(other), stream(name)):
            with pytest.raises(NotAuthorised, match=rf"not permitted to publish to \$JS\.API\.CONSUMER\.CREATE\.{name}"):
                backend.look(source, _span())


def test_a_login_that_may_make_consumers_and_not_pull_from_them_is_told_so_instead_of_waiting(administered: Streams, guarded: Nats) -> None:
    name = administered.make()
    administered.fill(f"{name.lower()}.a", [b"1", b"2"])
    refused = pytest.raises(NotAuthorised, match=rf"User 'waits' is not permitted to publish to \$JS\.API\.CONSUMER\.MSG\.NEXT\.{name}\.")
    with NatsBackend(login(guarded, "waits")) as backend, refused:
        everything(backend.look(stream(name), _span()))
    assert administered.consumers(name) == []


def test_a_login_that_may_not_ask_for_messages_in_batches_asks_for_each(administered: Streams, guarded: Nats) -> None:
    name = administered.make("workqueue")
    administered.fill(f"{name.lower()}.a", [b"1", b"2"])
    with NatsBackend(login(guarded, "waits")) as backend:
        assert bodies(everything(backend.look(stream(name), _span()))) == [b"1", b"2"]


def test_a_login_without_an_inbox_hears_and_publishes_what_needs_none(guarded: Nats) -> None:
    with NatsBackend(login(guarded, "hears")) as backend:
        assert backend.resolve(Address("heard"), "look") == subject("heard")
        reader = backend.look(subject("heard.a"), _live())
        assert publish(backend.publisher(subject("heard.a"), _policy(fire_and_forget=True)), [Message(b"1"), Message(b"2")]).confirmed == 2
        assert bodies(some(reader, 2)) == [b"1", b"2"]
        with pytest.raises(NotAuthorised, match=r"User 'hears' is not permitted to subscribe to _INBOX\.") as refused:
            list(backend.list())
        assert "inbox_prefix" in str(refused.value.hint)
        assert reader.read(0.1) is None


def test_what_there_is_to_know_of_a_home_is_said_once_letters_have_gone_there(administered: Streams, guarded: Nats) -> None:
    home, letters = administered.make(), administered.make()
    administered.fill(f"{letters.lower()}.a", [b"1", b"2"])
    with NatsBackend(login(guarded, "mends")) as backend, backend.repair(stream(letters), RepairPolicy()) as repair:
        homes = (subject(f"{home.lower()}.{name}") for name in "ab")
        moves = [Move(record, record.message, where) for record, where in zip(read_all(repair), homes, strict=True)]
        assert repair.settle(moves).confirmed == 2
    assert sum("may not ask which stream listens" in note for note in repair.notes) == 1


def test_a_server_without_jetstream_says_so_and_core_works(tmp_path: Path, servers: Callable[..., Nats]) -> None:
    server = servers(PlainNats)
    with NatsBackend(Connection("nats", ((HOST, server.port),))) as backend:
        assert backend.resolve(Address("orders"), "publish") == subject("orders")
        with pytest.raises(Failed, match="no JetStream") as refused:
            backend.publisher(subject("orders"), _policy())
        assert "--core" in (refused.value.hint or "")
        reader = backend.look(subject("orders"), _live())
        assert publish(backend.publisher(subject("orders"), _policy(fire_and_forget=True)), [Message(b"hi")]).confirmed == 1
        batch = reader.read(60)
        assert batch is not None
        assert batch.bodies() == [b"hi"]


class PlainNats(Nats):
    """One without JetStream."""

    def prepare(self) -> None:
        (self.directory / "server.conf").write_text(f'listen: "{HOST}:{self.port}"\n')

    def answers(self) -> bool:
        with suppress(OSError), socket.create_connection((HOST, self.port), 0.5):
            return True
        return False


def test_tls_with_its_authority_works_and_the_password_opens_up_only_there(secure: Connection) -> None:
    with NatsBackend(secure) as backend:
        assert list(backend.list()) == []


def test_a_certificate_that_is_not_trusted_is_refused_before_anything_is_sent(secure: Connection, certificates: Path) -> None:
    for tls, words in ((TLS(), "not trusted"), (TLS(ca=str(certificates / "ca.pem"), server_name="other.example"), "not trusted")):
        error = refusal(replace(secure, tls=tls))
        assert isinstance(error, NotAuthorised)
        assert words in str(error)
    with NatsBackend(replace(secure, tls=TLS(insecure=True))):
        pass
    with NatsBackend(replace(secure, hosts=((HOST, secure.hosts[0][1]),), tls=TLS(ca=str(certificates / "ca.pem"), server_name="localhost"))):
        pass


def test_a_client_certificate_is_shown_where_it_is_wanted(servers: Callable[..., SecureNats], certificates: Path) -> None:
    server = servers(SecureNats, settings={"tls": _tls(certificates, ", verify: true")})
    connection = Connection("tls", (("localhost", server.port),), tls=TLS(ca=str(certificates / "ca.pem")))
    error = refusal(connection)
    assert isinstance(error, NotAuthorised)
    assert "it wants a client certificate" in str(error)
    assert connection.tls is not None
    shown = replace(connection.tls, certificate=str(certificates / "client.pem"), key=str(certificates / "client.key"))
    with NatsBackend(replace(connection, tls=shown)):
        pass
    # it vouches for itself, and the server trusts the authority only
    stranger = refusal(replace(connection, tls=replace(connection.tls, certificate=str(certificates / "stranger.pem"), key=str(certificates / "stranger.key"))))
    assert isinstance(stranger, NotAuthorised)
    assert "does not accept our certificate" in str(stranger)


def test_a_connection_with_tls_ends_without_a_word(secure: Connection, caplog: pytest.LogCaptureFixture) -> None:
    with NatsBackend(secure):
        pass
    assert caplog.records == []


def test_a_server_that_shakes_hands_first_is_recognised(servers: Callable[..., SecureNats], certificates: Path) -> None:
    server = servers(SecureNats, settings={"tls": _tls(certificates, ", handshake_first: true")})
    connection = Connection("tls", (("localhost", server.port),), tls=TLS(ca=str(certificates / "ca.pem")))
    with NatsBackend(connection):
        pass
    plain = refusal(Connection("nats", (("localhost", server.port),)))
    assert isinstance(plain, Unreachable)
    assert "wants TLS" in str(plain)


def test_a_server_that_shakes_hands_first_says_what_it_has_against_our_certificate(servers: Callable[..., SecureNats], certificates: Path) -> None:
    server = servers(SecureNats, settings={"tls": _tls(certificates, ", handshake_first: true, verify: true")})
    error = refusal(Connection("tls", (("localhost", server.port),), tls=TLS(ca=str(certificates / "ca.pem"))))
    assert isinstance(error, NotAuthorised)
    assert "it wants a client certificate" in str(error)


def test_plain_and_tls_mixed_up_are_told_apart(secure: Connection, nats_address: str) -> None:
    wants = refusal(replace(secure, scheme="nats", tls=None))
    assert isinstance(wants, Unreachable)
    assert "wants TLS" in str(wants)
    assert (wants.hint or "").startswith("tls://")
    port = int(nats_address.rpartition(":")[2])
    has_none = refusal(Connection("tls", ((HOST, port),), tls=TLS(insecure=True)))
    assert isinstance(has_none, Unreachable)
    assert "speaks plain NATS" in str(has_none)


def test_several_hosts_are_tried_in_order_and_the_best_reason_is_given(guarded: Nats) -> None:
    closed = (HOST, free_port())
    with NatsBackend(replace(login(guarded), hosts=(closed, (HOST, guarded.port)))):
        pass
    error = refusal(replace(login(guarded, password="wrong"), hosts=(closed, (HOST, guarded.port))))
    assert isinstance(error, NotAuthorised)
    error = refusal(replace(login(guarded), hosts=(closed, ("no-such-host.invalid", 4222))))
    assert isinstance(error, Unreachable)
    assert "refused" in str(error)


def test_files_that_are_not_there_are_named() -> None:
    base = Connection("tls", ((HOST, 1),))
    for connection, name in ((replace(base, tls=TLS(ca="/nonexistent/ca.pem")), "/nonexistent/ca.pem"),
                             (replace(base, tls=TLS(certificate="/nonexistent/c.pem", key="/k")), "/nonexistent/c.pem"),
                             (replace(base, scheme="nats", credentials="/nonexistent/x.creds"), "/nonexistent/x.creds")):
        with pytest.raises(UsageProblem, match=name):
            NatsBackend(connection)


def test_a_login_that_is_revoked_ends_what_is_open(servers: Callable[..., Nats]) -> None:
    server = servers(Nats, settings={"authorization": _USERS})
    made = Streams(server.address, {"user": "all", "pass": PASSWORD})
    name = made.make()
    backend = NatsBackend(login(server))
    reader = backend.look(stream(name), _span(follow=True))
    server.stop()
    server._settings["authorization"] = _USERS.replace(PASSWORD, "changed")
    server.start()
    with pytest.raises(NotAuthorised):
        reader.read(60)
    backend.close()
    made.wire.close()


def test_a_subscription_that_is_taken_away_later_ends_the_look_instead_of_hearing_nothing_any_more(servers: Callable[..., Nats]) -> None:
    server = servers(Nats, settings={"authorization": _USERS})
    with NatsBackend(login(server, "hears")) as backend:
        reader = backend.look(subject("heard.a"), _live())
        assert publish(backend.publisher(subject("heard.a"), _policy(fire_and_forget=True)), [Message(b"1")]).confirmed == 1
        server._settings["authorization"] = _USERS.replace('subscribe: ["heard.>"]', 'subscribe: ["other.>"]')
        server.prepare()
        assert server._process is not None
        server._process.send_signal(signal.SIGHUP)
        assert bodies(some(reader, 1)) == [b"1"]
        with pytest.raises(NotAuthorised, match=r"User 'hears' is not permitted to subscribe to heard\.a"):
            reader.read(60)


def test_answers_that_may_not_be_heard_any_more_end_a_look_and_a_publisher_at_once(servers: Callable[..., Nats]) -> None:
    server = servers(Nats, settings={"authorization": _USERS})
    made = Streams(server.address, {"user": "all", "pass": PASSWORD})
    name = made.make()
    with NatsBackend(login(server)) as backend:
        reader, publisher = backend.look(stream(name), _span(follow=True)), backend.publisher(subject(f"{name.lower()}.a"), _policy())
        assert publish(publisher, [Message(b"1")]).confirmed == 1
        assert bodies(some(reader, 1)) == [b"1"]
        allowed = f'{{user: all, password: {PASSWORD}, permissions: {{subscribe: ["other.>"]}}}}'
        server._settings["authorization"] = f"{{users: [{allowed}]}}"
        server.prepare()
        assert server._process is not None
        server._process.send_signal(signal.SIGHUP)
        with pytest.raises(NotAuthorised, match=r"User 'all' is not permitted to subscribe to _INBOX\."):
            reader.read(20)
        assert isinstance(publisher.failure, NotAuthorised)
    made.wire.close()


def _policy(**options: Any) -> Any:
    from brokercli.backends.contract import PublishPolicy

    return PublishPolicy(**options)


def _span(*, follow: bool = False) -> Any:
    from brokercli.model.position import Span, Start

    return Span(Start(), None if follow else End())


def _live() -> Any:
    from brokercli.model.position import Span

    return Span(End(), None)


def test_a_login_by_certificate_that_is_refused_is_told_what_the_server_needs(servers: Callable[..., SecureNats], certificates: Path) -> None:
    server = servers(SecureNats, settings={"tls": _tls(certificates, ", verify_and_map: true"), "authorization": '{users: [{user: "CN=somebody"}]}'})
    tls = TLS(ca=str(certificates / "ca.pem"), certificate=str(certificates / "client.pem"), key=str(certificates / "client.key"))
    error = refusal(Connection("tls", (("localhost", server.port),), tls=tls))
    assert isinstance(error, NotAuthorised)
    assert f"by the certificate {tls.certificate}" in str(error)
    assert "a user of the name in the certificate" in (error.hint or "")
