"""Reaching a broker: hosts, trust, login, and one sentence about what went wrong."""

from __future__ import annotations

import logging
import re
import socket
import ssl
from time import monotonic
from typing import Any

import pika
from pika.credentials import ExternalCredentials, PlainCredentials

from brokercli.backends.handshake import asked_in_silence, not_trusted, ours_refused
from brokercli.backends.rabbitmq.bulk_frames import LARGEST_FRAME
from brokercli.backends.rabbitmq.failures import NotLetIn, NoVirtualHost, gist
from brokercli.backends.tls import tls_context
from brokercli.model.connection import TLS, Connection, spell_place
from brokercli.model.errors import BrokercliError, NotAuthorised, Unreachable, UsageProblem

DEFAULT_PORT, DEFAULT_TLS_PORT = 5672, 5671
# a broker that is gone without a word is noticed after about as long
HEARTBEAT_SECONDS = 30
DEFAULT_USER = "guest"
_SMALLEST_FRAME = 8192
_OVER_A_LIMIT = re.compile(r"limit \(\d+\) is reached$")
_AMQP = b"AMQP\0\0\x09\x01"
_SILENCE = 100
_OPTIONS = ("heartbeat", "frame_max", "locale", "give_up_after")

# pika tells its troubles to the log as well; whatever matters is in the error we raise
logging.getLogger("pika").setLevel(_SILENCE)


def port_of(connection: Connection, port: int | None) -> int:
    """Return the port, the usual one where none is said."""
    return port or (DEFAULT_PORT if connection.tls is None else DEFAULT_TLS_PORT)


def parameters(connection: Connection) -> Any:
    """Return pika's parameters. Raises UsageProblem for what cannot be."""
    unknown = [name for name in connection.options if name not in _OPTIONS]
    if unknown:
        raise UsageProblem(f"RabbitMQ's connection has no option {unknown[0]}.", hint=f"there are {', '.join(_OPTIONS)}")
    try:
        return pika.ConnectionParameters(
            host=connection.hosts[0][0], virtual_host=connection.virtual_host, credentials=_credentials(connection),
            heartbeat=int(connection.options.get("heartbeat", HEARTBEAT_SECONDS)), frame_max=int(connection.options.get("frame_max", LARGEST_FRAME)),
            locale=connection.options.get("locale", "en_US"), blocked_connection_timeout=None,
            client_properties={"product": "brokercli", "connection_name": "brokercli"})
    except ValueError as problem:
        raise UsageProblem(f"RabbitMQ's connection cannot be made as the options say: {problem}.", hint="heartbeat and frame_max are whole numbers") from None


def user_of(connection: Connection) -> str | None:
    """Return the name we log in with; None where the certificate says it."""
    if connection.user is not None:
        return connection.user
    return None if _external(connection) else DEFAULT_USER


def _external(connection: Connection) -> bool:
    if connection.mechanism is not None:
        return connection.mechanism.upper() == "EXTERNAL"
    return connection.password is None and connection.user is None and connection.tls is not None and connection.tls.certificate is not None


def _credentials(connection: Connection) -> Any:
    mechanism = (connection.mechanism or "PLAIN").upper()
    if mechanism not in ("PLAIN", "EXTERNAL"):
        raise UsageProblem(f"RabbitMQ's client speaks PLAIN and EXTERNAL, not {mechanism}.", hint="set mechanism to PLAIN, or leave it out")
    if _external(connection):
        if connection.tls is None or connection.tls.certificate is None:
            raise UsageProblem("EXTERNAL is a login by client certificate, and none is given.", hint="set tls.certificate and tls.key in the context")
        return ExternalCredentials()
    user, password = login_of(connection) or (DEFAULT_USER, "")
    return PlainCredentials(user, password)


def login_of(connection: Connection) -> tuple[str, str] | None:
    """Return user and password; None where a certificate is the login."""
    if _external(connection):
        return None
    # RabbitMQ's own default, which it accepts from its own machine only
    password = connection.password.reveal() if connection.password is not None else "guest" if connection.user is None else ""
    return connection.user if connection.user is not None else DEFAULT_USER, password


def open_socket(connection: Connection, host: str, port: int, seconds: float) -> socket.socket:
    """Connect, encrypt where TLS is asked for, and return a socket that does not block. Raises Unreachable or NotAuthorised."""
    deadline = monotonic() + seconds
    where = address(connection, host, port)
    raw = _connect(where, host, port, seconds)
    try:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if connection.tls is None:
            raw.setblocking(False)
            return raw
        context = tls_context(connection.tls)
        raw.settimeout(max(0.1, deadline - monotonic()))
        encrypted = context.wrap_socket(raw, server_hostname=connection.tls.server_name or host, suppress_ragged_eofs=False)
        encrypted.setblocking(False)
    except BrokercliError:
        raw.close()
        raise
    except (OSError, ssl.SSLError) as problem:
        raw.close()
        raise _tls_failure(problem, connection, where) from None
    return encrypted


def _connect(where: str, host: str, port: int, seconds: float) -> socket.socket:
    try:
        return socket.create_connection((host, port), max(0.1, seconds))
    except socket.gaierror as problem:
        if problem.errno == socket.EAI_AGAIN:
            raise Unreachable(f"{where}: the name {host} cannot be looked up now.", hint="is this machine's DNS reachable?") from None
        raise Unreachable(f"{where}: there is no host {host}.", hint="check the spelling, and that this machine can resolve it") from None
    except ConnectionRefusedError:
        raise Unreachable(f"{where}: nothing listens there (connection refused).", hint="is the broker running, and is this its port?") from None
    except TimeoutError:
        raise Unreachable(f"{where}: no answer within {seconds:.3g} s.", hint="a firewall or a machine that is down looks like this") from None
    except UnicodeError:
        raise UsageProblem(f"{host!r} cannot be the name of a host.") from None
    except OSError as problem:
        raise Unreachable(f"{where}: cannot be reached: {problem.strerror or problem}.", hint="check the host, and the network of this machine") from None


def address(connection: Connection, host: str, port: int) -> str:
    """Spell one host as errors do."""
    return f"{connection.scheme}://{spell_place(host, port)}"


def _tls_failure(problem: OSError, connection: Connection, where: str) -> BrokercliError:
    if isinstance(problem, ssl.SSLCertVerificationError):
        reason, hint = not_trusted(problem)
        return NotAuthorised(f"{where}: its certificate was not accepted: {reason}.", hint=hint)
    if isinstance(problem, ssl.SSLError) and (refusal := ours_refused(problem, connection.tls or TLS())):
        return NotAuthorised(f"{where}: {refusal.text}.", hint=refusal.hint)
    text = str(problem).upper()
    if "WRONG_VERSION" in text or "RECORD_LAYER" in text or "RECORD LAYER" in text:
        return Unreachable(f"{where}: it does not speak TLS on this port.", hint="write amqp:// instead of amqps://, or use the TLS port, usually 5671")
    if isinstance(problem, TimeoutError):
        return Unreachable(f"{where}: the port is open but says nothing to TLS.", hint="a hung broker or a port without TLS looks like this")
    if isinstance(problem, (ssl.SSLEOFError, ConnectionError, ssl.SSLZeroReturnError)):
        return Unreachable(f"{where}: it hung up on TLS.", hint="write amqp:// instead of amqps:// if the port has no TLS, usually 5672")
    return Unreachable(f"{where}: TLS failed: {getattr(problem, 'reason', None) or problem}.", hint="brokercli doctor tries each step")


def explain_end_of_tls(where: str, tls: TLS, host: str, port: int, seconds: float) -> BrokercliError:
    """Say why a broker ended a connection whose TLS stood: with TLS 1.3 it looks at our certificate only then."""
    if refusal := asked_in_silence(host, port, tls, min(1.0, seconds)):
        return NotAuthorised(f"{where}: {refusal.text}.", hint=refusal.hint)
    return Unreachable(f"{where}: it hung up after TLS, before a word of AMQP.",
                       hint="a client certificate that it does not trust looks like this, and so does a port that is not RabbitMQ's")


def explain_login(connection: Connection, where: str, closed_by: tuple[int, str] | None, problem: BaseException | None) -> BrokercliError:
    """Say in one sentence why a broker that speaks AMQP did not let us in."""
    code, text = closed_by or (0, "")
    who = user_of(connection)
    if code == 403 and who is None:
        return NotAuthorised(f"{where}: the login by certificate was refused.",
                             hint="RabbitMQ needs a user of the name in the certificate; ssl_cert_login_from says which name: all of it as it comes")
    if code == 403:
        return NotAuthorised(f"{where}: the login as {who} was refused.",
                             hint="check user and password" + ("; guest may only log in from the broker's own machine" if who == DEFAULT_USER else ""))
    if code in (530, 402) and "not found" in text:
        return NoVirtualHost(f"{where}: there is no virtual host {connection.virtual_host}.",
                             hint="set vhost in the context; in a URL the default one is %2F or nothing")
    if code == 530 and _OVER_A_LIMIT.search(text):
        # one that counts for us still may be our own that broke: so it is tried again
        return Unreachable(f"{where}: the broker takes no more connections: {gist(text)}.",
                           hint="close others, or have the limit raised: rabbitmqctl list_user_limits, list_vhost_limits; connection_max in rabbitmq.conf")
    if code == 530 and "refused for user" in text:
        return NotLetIn(f"{where}: {who or 'this login'} has no permission for the virtual host {connection.virtual_host}.",
                        hint=f"rabbitmqctl set_permissions -p {connection.virtual_host} {who or 'USER'} '' '.*' '.*' allows to write and read")
    if code:
        return Unreachable(f"{where}: the broker does not let us in: {text.partition(' - ')[2] or text} ({code}).", hint="the broker's log says more")
    if isinstance(problem, pika.exceptions.AuthenticationError):
        return NotAuthorised(f"{where}: it does not offer the login {(connection.mechanism or 'PLAIN').upper()}; it offers {problem.args[0]}.",
                             hint="set mechanism in the context to one of them")
    # a smaller frame is refused without a word (seen on 4.3.6)
    small = parameters(connection).frame_max < _SMALLEST_FRAME
    return Unreachable(f"{where}: it hung up while we logged in.",
                       hint=f"RabbitMQ takes no frame_max below {_SMALLEST_FRAME} since 4.1" if small else "the broker's log says why")
