"""Connecting: trust, login, several hosts, and one sentence about what went wrong."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nats import errors
from nats.aio.client import Client

from brokercli.backends.nats.bulk_parser import BulkParser
from brokercli.backends.nats.credentials import sign_in
from brokercli.backends.nats.failures import inbox_prefix
from brokercli.backends.nats.transport import CheckedTransport
from brokercli.model.connection import Connection, Secret, spell_place
from brokercli.model.errors import BrokercliError, NotAuthorised, Unreachable, UsageProblem

if TYPE_CHECKING:
    from brokercli.backends.nats.link import Link

DEFAULT_PORT = 4222
# a frozen server is noticed after two of these; nats-py's own would take four minutes
PING_SECONDS = 10
RECONNECT_WAIT = 0.2


async def connect(connection: Connection, link: Link) -> tuple[Client, BulkParser, CheckedTransport]:
    """Connect to the first host that lets us in, in the order given, within `connection.connect_timeout` seconds in all.

    Raises Unreachable, NotAuthorised or UsageProblem; of several hosts that failed, the one whose reason says most.
    Afterwards the client reconnects by itself and tells `link` about it.
    """
    attempts = Attempts(len(connection.hosts), connection.connect_timeout)
    client: Any = Client()
    transport = CheckedTransport(connection.tls, attempts.time_left)
    client._transport = transport
    parser = BulkParser(client, link.on_server_error)
    client._ps = parser

    async def on_error(problem: Exception) -> None:
        if attempts.first:
            refusal = await transport.refused_ours() if isinstance(problem, OSError) else None
            attempts.failed(refusal or as_failure(problem, connection))
        else:
            link.on_client_error(problem)

    scheme = "tls" if connection.tls is not None else "nats"
    servers = [f"{scheme}://{spell_place(host, port or DEFAULT_PORT)}" for host, port in connection.hosts]
    try:
        await client.connect(
            servers=servers, name="brokercli", dont_randomize=True, allow_reconnect=True, max_reconnect_attempts=-1,
            connect_timeout=connection.connect_timeout, reconnect_time_wait=RECONNECT_WAIT, ping_interval=PING_SECONDS, max_outstanding_pings=2,
            error_cb=on_error, disconnected_cb=link.on_disconnected, reconnected_cb=link.on_reconnected, closed_cb=link.on_closed,
            inbox_prefix=inbox_prefix(connection), skip_subject_validation=True, **_login(connection, client, transport))
    except BrokercliError:
        transport.abort()
        raise
    except errors.Error as problem:
        # what nats-py says of an address before it dials: it takes none for no host, which is what scripts write that have none
        raise UsageProblem(f"NATS's client cannot connect to {connection}: {str(problem).removeprefix('nats: ')}.", hint="is the host right?") from None
    attempts.first = False
    return client, parser, transport


class Attempts:
    """The hosts tried so far during the first connect, and the time they share."""

    def __init__(self, hosts: int, seconds: float) -> None:
        self.first = True
        self._hosts = hosts
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._failures: list[BrokercliError] = []

    def time_left(self) -> float:
        """Return the seconds the next host may take."""
        if not self.first:
            return self._seconds
        return max(0.1, (self._deadline - time.monotonic()) / max(1, self._hosts - len(self._failures)))

    def failed(self, failure: BrokercliError) -> None:
        """Note one; raise once every host has failed."""
        self._failures.append(failure)
        if len(self._failures) >= self._hosts:
            refusals = [failure for failure in self._failures if not isinstance(failure, Unreachable)]
            raise (refusals or self._failures)[0]


def as_failure(problem: BaseException, connection: Connection) -> BrokercliError:
    """Translate what nats-py or the transport raised while connecting."""
    if isinstance(problem, BrokercliError):
        return problem
    text = str(problem).removeprefix("nats: ").strip("' ")
    lowered = text.lower()
    if "maximum" in lowered and "connections" in lowered:
        return Unreachable(f"{connection} has as many connections as it allows, or as it allows this account: {text}.")
    # what an OSError says may name a file, and a folder be called as anything
    if not isinstance(problem, OSError) and any(word in lowered for word in ("authorization", "authentication", "account", "user")):
        return NotAuthorised(f"{connection} refused the login{_who(connection)}: {text}.",
                             hint="the server has to have a user of the name in the certificate (verify_and_map), or wants user and password as well"
                             if _by_certificate(connection) else "check user and password, token or credentials file")
    if isinstance(problem, (asyncio.TimeoutError, TimeoutError)):
        return Unreachable(f"{connection} took too long to answer the login.", hint="the server may be overloaded; --connect-timeout gives it longer")
    if isinstance(problem, ssl.SSLError):
        return NotAuthorised(f"{connection} ended the TLS connection: {(problem.reason or text).replace('_', ' ').lower()}.", hint="nats-server's log says why")
    if isinstance(problem, OSError) or not text:
        return Unreachable(f"The connection to {connection} broke while logging in: {text or 'it was closed'}.",
                           hint="nats-server's log says why; a wrong client certificate looks like this")
    return Unreachable(f"{connection} refused the connection: {text}.")


def _who(connection: Connection) -> str:
    if connection.credentials:
        return f" with the credentials file {connection.credentials}"
    if connection.user is not None:
        return f" of user {connection.user!r}"
    if connection.token is not None:
        return " with the token"
    return f" by the certificate {connection.tls.certificate}" if connection.tls and _by_certificate(connection) else ", which had neither user nor token"


def _by_certificate(connection: Connection) -> bool:
    others = connection.credentials or connection.user or connection.token
    return not others and connection.tls is not None and connection.tls.certificate is not None


def _login(connection: Connection, client: Client, transport: CheckedTransport) -> dict[str, Any]:
    """Credentials as callables that open up only at the moment of sending, and then only over TLS where TLS was asked for."""
    def revealed(secret: Secret) -> Callable[[], str]:
        def reveal() -> str:
            if connection.tls is not None and not transport.encrypted:
                raise ConnectionError("the connection is not encrypted")
            return secret.reveal()
        return reveal

    if connection.credentials is not None:
        return sign_in(client, connection.credentials)
    if connection.user is not None:
        return {"user": connection.user, "password": revealed(connection.password or Secret(""))}
    if connection.token is not None:
        return {"token": revealed(connection.token)}
    return {}
