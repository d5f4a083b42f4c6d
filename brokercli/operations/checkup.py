"""Look a broker over, from the name of its host to what it says of itself: where a connection that fails goes wrong, and what will."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from brokercli.backends.contract import Backend
from brokercli.backends.reaching import obstacle_on_the_way
from brokercli.model.address import parse_address
from brokercli.model.checkup import Check, Health
from brokercli.model.connection import Connection, spell_place
from brokercli.model.errors import BrokercliError
from brokercli.model.exit_code import ExitCode


def check_up(connection: Connection, default_port: int, open_backend: Callable[[Connection], Backend], dlq: str | None = None) -> Iterator[Check]:
    """Yield what is found as it is found, and end after the first step without which the next cannot be tried.

    Changes nothing. Each host gets `connection.connect_timeout` seconds; raises nothing that the broker or the network do.
    """
    reached = False
    for host, port in connection.hosts:
        for check in _reach(host, port or default_port, connection.connect_timeout):
            reached = reached or (check.what.startswith("port ") and check.health is Health.OK)
            # another host may take its place: then it is only missed when that one is lost as well
            yield replace(check, health=Health.WARNING) if check.health is Health.FAILED and len(connection.hosts) > 1 else check
    if not reached:
        if len(connection.hosts) > 1:
            yield Check("hosts", Health.FAILED, f"none of the {len(connection.hosts)} can be reached", exit_code=ExitCode.UNREACHABLE)
        return
    began = time.monotonic()
    try:
        backend = open_backend(connection)
    except BrokercliError as error:
        yield _failed("connection and login", error)
        return
    with backend:
        yield Check("connection and login", Health.OK, f"{_who(connection)}, {_milliseconds(began)}")
        try:
            yield from backend.checkup()
            if dlq is not None:
                yield _dead_letters(backend, dlq)
        except BrokercliError as error:
            yield _failed("the broker's answers", error)


def exit_code(checks: list[Check]) -> ExitCode:
    """Return what a command ends with that found this: of what failed, the last, which is what it failed for."""
    return next((check.exit_code for check in reversed(checks) if check.health is Health.FAILED), ExitCode.DONE)


def _reach(host: str, port: int, seconds: float) -> Iterator[Check]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, OverflowError) as problem:
        yield Check(f"name {host}", Health.FAILED, f"cannot be resolved: {getattr(problem, 'strerror', None) or 'it is no name of a host'}",
                    "check the spelling, and the DNS of this machine", ExitCode.UNREACHABLE)
        return
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if addresses != [host]:
        yield Check(f"name {host}", Health.OK, ", ".join(addresses))
    began = time.monotonic()
    if reason := obstacle_on_the_way(found, seconds):
        yield Check(f"port {spell_place(host, port)}", Health.FAILED, reason, "a firewall looks like this" if reason.startswith("no answer")
                    else "is the broker running, and is this its port?", ExitCode.UNREACHABLE)
        return
    yield Check(f"port {spell_place(host, port)}", Health.OK, f"open, {_milliseconds(began)}")


def _dead_letters(backend: Backend, dlq: str) -> Check:
    what = "dead letters of the context"
    try:
        named = parse_address(dlq)
        if named.context is not None or named.url is not None:
            # not repeated: there may be a password in it
            return Check(what, Health.WARNING, "they are said to lie on a broker that is named again, which no command takes",
                         f"the name alone is enough: dlq = {named.name!r}")
        address = backend.resolve(named, "describe")
    except BrokercliError as error:
        return Check(what, Health.WARNING, f"{'it' if '://' in dlq else dlq}: {str(error).rstrip('.')}", error.hint)
    return Check(what, Health.OK, str(address))


def _failed(what: str, error: BrokercliError) -> Check:
    return Check(what, Health.FAILED, str(error).rstrip("."), error.hint, error.exit_code)


def _who(connection: Connection) -> str:
    if connection.user is not None:
        who = f"as {connection.user}"
    elif connection.credentials is not None or connection.token is not None:
        who = "with a token" if connection.token is not None else "with credentials"
    elif connection.tls is not None and connection.tls.certificate is not None:
        who = "with a certificate"
    else:
        who = "no login given"
    return f"{who}, {'without TLS' if connection.tls is None else 'TLS, any certificate accepted' if connection.tls.insecure else 'TLS'}"


def _milliseconds(began: float) -> str:
    return f"{(time.monotonic() - began) * 1000:.0f} ms"
