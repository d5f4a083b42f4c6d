"""Files that a login to NATS lies in: a user's JWT with the seed of its NKEY, and such a seed alone."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.nats.backend import NatsBackend
from brokercli.model.address import Address
from brokercli.model.connection import Connection
from brokercli.model.declaration import Declaration
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, Unreachable, UsageProblem
from brokercli.model.message import Message
from brokercli.model.position import End, Span, Start
from brokercli.model.receipt import Verdict
from tests.backends.nats_identities import ACCOUNT, USER, Accounts, identity
from tests.backends.nats_streams import bodies, everything, of_verdict
from tests.brokers.nats import Nats
from tests.brokers.server import HOST, free_port

ACCOUNTS = Accounts()
KNOWN = identity(USER)


def refusal(connection: Connection) -> BrokercliError:
    with pytest.raises(BrokercliError) as refused:
        NatsBackend(connection)
    return refused.value


def with_file(port: int, file: Path, content: str) -> Connection:
    file.write_text(content, newline="")
    return Connection("nats", ((HOST, port),), credentials=str(file))


@pytest.fixture(scope="session")
def of_accounts(servers: Callable[..., Nats]) -> Nats:
    """A server that knows an operator, and so whatever its accounts signed."""
    return servers(Nats, settings=ACCOUNTS.settings)


@pytest.fixture(scope="session")
def of_keys(servers: Callable[..., Nats]) -> Nats:
    """A server that knows one user by its NKEY."""
    return servers(Nats, settings={"authorization": f"{{users: [{{nkey: {KNOWN.name}}}]}}"})


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_credentials_file_logs_in_with_whatever_line_ends(of_accounts: Nats, tmp_path: Path, line_end: str) -> None:
    content = ACCOUNTS.credentials(identity(USER)).replace("\n", line_end)
    with NatsBackend(with_file(of_accounts.port, tmp_path / "x.creds", content)) as backend:
        assert list(backend.list()) == []


def test_an_account_that_has_as_many_connections_as_it_may_is_no_wrong_login(servers: Callable[..., Nats], tmp_path: Path) -> None:
    accounts = Accounts(connections=1)
    connection = with_file(servers(Nats, settings=accounts.settings).port, tmp_path / "x.creds", accounts.credentials(identity(USER)))
    with NatsBackend(connection):
        error = refusal(connection)
    assert isinstance(error, Unreachable)
    assert "as many connections as it allows" in str(error)


@pytest.mark.parametrize("with_ids", [True, False], ids=["with ids", "without ids"])
def test_of_messages_that_a_login_may_not_send_for_their_size_each_is_refused_and_no_other(of_accounts: Nats, tmp_path: Path, with_ids: bool) -> None:
    """INFO names the server's own limit alone: at a message beyond the login's the server hangs up, whatever else was on its way."""
    name = f"TEST{uuid.uuid4().hex[:12].upper()}"
    sizes = [10, 20, 3000, 30, 2000, 40, 3000, 50]
    messages = [Message(b"x" * size, id=f"{number}" if with_ids else None) for number, size in enumerate(sizes)]
    with NatsBackend(with_file(of_accounts.port, tmp_path / "x.creds", ACCOUNTS.credentials(identity(USER), payload=1000))) as backend:
        declarer = backend.declarer()
        declarer.apply(declarer.plan([Declaration("stream", name)])[0])
        try:
            with backend.publisher(Address(name, "stream"), PublishPolicy(delivery_timeout=120)) as publisher:
                assert publisher.send(messages) == len(messages)
                receipts = publisher.finish(120)
                assert of_verdict(receipts, Verdict.REFUSED) == [2, 4, 6]
                assert all("Maximum Payload Violation" in receipt.reason or "max_payload" in receipt.reason for receipt in receipts.problems)
                assert (receipts.confirmed, receipts.unknown) == (5, 0)
                # what is known by then is not tried
                assert publisher.send([Message(b"x" * 3000)]) == 1
                assert publisher.collect(0).refused == 1
            with backend.look(Address(name, "stream"), Span(Start(), End())) as reader:
                assert [len(body or b"") for body in bodies(everything(reader))] == [10, 20, 30, 40, 50]
        finally:
            declarer.apply(declarer.plan_removal([Declaration("stream", name)])[0])


def test_credentials_that_have_expired_are_refused_and_the_file_is_named(of_accounts: Nats, tmp_path: Path) -> None:
    error = refusal(with_file(of_accounts.port, tmp_path / "x.creds", ACCOUNTS.credentials(identity(USER), expires=int(time.time()) - 5)))
    assert isinstance(error, NotAuthorised)
    assert "x.creds" in str(error)


@pytest.mark.parametrize("content", [
    "{seed}", "{seed}\n", "\r\n  {seed}\r\n", "{seed}\n{name}\n", "-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"])
def test_the_seed_of_an_nkey_logs_in_by_itself(of_keys: Nats, tmp_path: Path, content: str) -> None:
    with NatsBackend(with_file(of_keys.port, tmp_path / "user.nk", content.format(seed=KNOWN.seed, name=KNOWN.name))) as backend:
        assert list(backend.list()) == []


def test_an_nkey_that_the_server_does_not_know_is_refused_without_showing_its_seed(of_keys: Nats, tmp_path: Path) -> None:
    stranger = identity(USER)
    error = refusal(with_file(of_keys.port, tmp_path / "user.nk", stranger.seed))
    assert isinstance(error, NotAuthorised)
    assert "user.nk" in str(error)
    assert stranger.seed not in f"{error}{error.hint}"


def test_a_file_that_is_away_while_the_connection_comes_back_is_waited_for(of_keys: Nats, tmp_path: Path) -> None:
    file = tmp_path / "user" / "account.nk"
    file.parent.mkdir()
    with NatsBackend(with_file(of_keys.port, file, KNOWN.seed)) as backend:
        of_keys.stop()
        file.rename(file.with_suffix(".away"))
        of_keys.start()
        link = backend._link
        deadline = time.monotonic() + 30
        while "no credentials file" not in link.why_away and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "no credentials file" in link.why_away
        file.with_suffix(".away").rename(file)
        assert list(backend.list()) == []


def write_credentials(file: Path, seed: str) -> None:
    file.write_text(f"-----BEGIN NATS USER JWT-----\neyJ0\n------END NATS USER JWT------\n\n"
                    f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n")


def test_a_package_that_is_missing_for_credentials_is_installed_by_the_extra_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_credentials(tmp_path / "x.creds", identity(USER).seed)
    monkeypatch.setitem(sys.modules, "nkeys", None)
    with pytest.raises(Failed) as refused:
        NatsBackend(Connection("nats", ((HOST, 1),), credentials=str(tmp_path / "x.creds")))
    assert refused.value.hint == "pip install 'brokercli[credentials]'"


def test_a_file_that_holds_no_credentials_is_said(tmp_path: Path) -> None:
    for content in (b"nothing", b"\xff\xfe"):
        (tmp_path / "x.creds").write_bytes(content)
        with pytest.raises(UsageProblem, match="credentials file"):
            NatsBackend(Connection("nats", ((HOST, 1),), credentials=str(tmp_path / "x.creds")))


def test_a_seed_that_is_damaged_is_told_from_one_that_is_not(tmp_path: Path) -> None:
    file, seed = tmp_path / "x.creds", identity(USER, bytes(range(32))).seed
    assert seed.startswith("SU")
    for content, damaged in ((seed, False), (seed[:-1] + "A", True), (seed.replace("SU", "SX"), True), (seed[:40], True), ("UABC1", True)):
        write_credentials(file, content)
        error = refusal(Connection("nats", ((HOST, free_port()),), credentials=str(file)))
        assert (f"The NKEY seed in the credentials file {file} is damaged" in str(error)) == damaged, (content, error)


def test_a_seed_of_no_user_is_said_to_be_none(tmp_path: Path) -> None:
    error = refusal(with_file(free_port(), tmp_path / "account.nk", identity(ACCOUNT).seed))
    assert isinstance(error, UsageProblem)
    assert "none of a user" in str(error)
