"""Connecting: trust, login, several hosts, and one sentence about what went wrong."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import ssl
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nats import errors
from nats.aio.client import Client

from brokercli.backends.nats.bulk_parser import BulkParser
from brokercli.backends.nats.failures import inbox_prefix
from brokercli.backends.nats.transport import CheckedTransport
from brokercli.model.connection import Connection, Secret, spell_place
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, Unreachable, UsageProblem

if TYPE_CHECKING:
    from brokercli.backends.nats.link import Link

DEFAULT_PORT = 4222
# a frozen server is noticed after two of these; nats-py's own would take four minutes
PING_SECONDS = 10
RECONNECT_WAIT = 0.2
_SEED_PREFIX = 18 << 3
_SEED_BYTES = 36


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
            inbox_prefix=inbox_prefix(connection), skip_subject_validation=True, **_login(connection, transport))
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
    if "authorization" in lowered or "authentication" in lowered or "account" in lowered or "user" in lowered:
        return NotAuthorised(f"{connection} refused the login{_who(connection)}: {text}.",
                             hint="the server has to have a user of the name in the certificate (verify_and_map), or wants user and password as well"
                             if _by_certificate(connection) else "check user and password, token or credentials file")
    if "maximum connections" in lowered:
        return Unreachable(f"{connection} has as many connections as it allows.")
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


def _login(connection: Connection, transport: CheckedTransport) -> dict[str, Any]:
    """Credentials as callables that open up only at the moment of sending, and then only over TLS where TLS was asked for."""
    def revealed(secret: Secret) -> Callable[[], str]:
        def reveal() -> str:
            if connection.tls is not None and not transport.encrypted:
                raise ConnectionError("the connection is not encrypted")
            return secret.reveal()
        return reveal

    if connection.credentials is not None:
        _check_credentials(connection.credentials)
        try:
            import_module("nkeys")  # nats-py needs it for these files only and does not bring it
        except ModuleNotFoundError:
            raise Failed("NATS credentials files need the Python package nkeys, which is not installed.", hint="pip install 'brokercli[credentials]'") from None
        return {"user_credentials": connection.credentials}
    if connection.user is not None:
        return {"user": connection.user, "password": revealed(connection.password or Secret(""))}
    if connection.token is not None:
        return {"token": revealed(connection.token)}
    return {}


def _check_credentials(path: str) -> None:
    """nats-py reads the file while it connects and says nothing readable about one that is no such file."""
    hint = "it is the .creds file that nsc or your NATS provider wrote"
    try:
        text = Path(path).read_text()
    except FileNotFoundError:
        raise UsageProblem(f"There is no credentials file {path}.", hint=hint) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageProblem(f"The credentials file {path} cannot be read: {getattr(problem, 'strerror', None) or 'it is not text'}.", hint=hint) from None
    seed = re.search(r"-BEGIN USER NKEY SEED-+\s+(\S+)", text)
    if "BEGIN NATS USER JWT" not in text or seed is None:
        raise UsageProblem(f"The file {path} is no NATS credentials file: it needs a user JWT and an NKEY seed.", hint=hint)
    if not _is_seed(seed[1]):
        raise UsageProblem(f"The NKEY seed in the credentials file {path} is damaged.", hint=hint)


def _is_seed(text: str) -> bool:
    """Whether a text is the seed of an NKEY (github.com/nats-io/nkeys): base32 of two bytes that say so, 32 of the key and a checksum."""
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError:
        return False
    return len(raw) == _SEED_BYTES and raw[0] & 0xF8 == _SEED_PREFIX and binascii.crc_hqx(raw[:-2], 0) == int.from_bytes(raw[-2:], "little")
