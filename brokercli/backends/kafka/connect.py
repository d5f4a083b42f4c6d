"""Connecting to Kafka, and telling the ways it can fail apart."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from time import monotonic, time
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException

from brokercli.model.connection import Connection, spell_place
from brokercli.model.errors import BrokercliError, NotAuthorised, Unreachable, UsageProblem

DEFAULT_PORT = 9092
_TOKEN_SECONDS = 3600
_MOMENT_SECONDS = 1.0
_NO_TOPIC = "__brokercli_connects"
ADVERTISED = "either it is away, or advertised.listeners of that broker is no address that works from here"
# librdkafka's log goes to a logger that drops it: what it has to say arrives as errors, and stderr is ours
SILENT = logging.Logger("brokercli.librdkafka", logging.CRITICAL + 1)

FORBIDDEN_OPTIONS = frozenset({
    "plugin.library.paths", "ssl.engine.location", "ssl.engine.id", "ssl.providers", "sasl.kerberos.kinit.cmd", "interceptors", "opaque",
    "default_topic_conf", "test.mock.num.brokers", "test.mock.broker.rtt"})
"""Properties that load libraries or run commands (plugin.library.paths is dlopen()ed as soon as it is set), or replace the broker."""

OUR_OPTIONS = frozenset({
    "bootstrap.servers", "metadata.broker.list", "security.protocol", "sasl.username", "sasl.password", "group.id", "enable.auto.commit",
    "enable.auto.offset.store", "auto.offset.reset", "enable.partition.eof", "allow.auto.create.topics", "acks", "request.required.acks",
    "enable.idempotence", "delivery.report.only.error", "transactional.id", "log.queue", "enable.sasl.oauthbearer.unsecure.jwt"})
"""Properties on which the promises rest; they are set here and nowhere else."""


def client_configuration(connection: Connection) -> dict[str, Any]:
    """Return what every handle on this connection is configured with. Raises UsageProblem for options that are not allowed."""
    timeout = max(1000, int(connection.connect_timeout * 1000))
    configuration: dict[str, Any] = {
        "bootstrap.servers": ",".join(spell_place(host, port or DEFAULT_PORT) for host, port in connection.hosts),
        "client.id": "brokercli",
        "log_level": 0,
        "socket.connection.setup.timeout.ms": timeout,
        # half of it is how long a second connection waits after the first, which every start pays
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 1000,
        "enable.metrics.push": False,
        # librdkafka lets producers create the topics they ask about
        "allow.auto.create.topics": False,
    }
    configuration.update(_security(connection))
    for name, value in connection.options.items():
        if name in FORBIDDEN_OPTIONS or name.endswith("_cb"):
            raise UsageProblem(f"The Kafka option {name} is not allowed: it loads libraries, runs commands or replaces the broker.")
        if name in OUR_OPTIONS:
            raise UsageProblem(f"The Kafka option {name} is not yours to set: brokercli's promises rest on it.")
        configuration[name] = value
    return configuration


def _security(connection: Connection) -> dict[str, Any]:
    tls, password = connection.tls, connection.password
    if tls is not None:
        from brokercli.backends.tls import check_files  # ssl takes 5 ms

        check_files(tls)
    sasl = connection.mechanism is not None or password is not None or connection.user is not None or connection.token is not None
    settings: dict[str, Any] = {"security.protocol": ("sasl_" if sasl else "") + ("plaintext" if tls is None else "ssl")}
    if tls is not None:
        settings["ssl.endpoint.identification.algorithm"] = "none" if tls.insecure else "https"
        settings["enable.ssl.certificate.verification"] = not tls.insecure
        # without a tls.key of its own the key lies with the certificate
        for name, path in (("ssl.ca.location", tls.ca), ("ssl.certificate.location", tls.certificate), ("ssl.key.location", tls.key or tls.certificate)):
            if path is not None:
                settings[name] = path
        if tls.key_password is not None:
            settings["ssl.key.password"] = tls.key_password.reveal()
        if tls.server_name is not None:
            raise UsageProblem("Kafka's client checks the certificate against the name it connects to; server_name cannot replace it.",
                               hint="connect by the name that the certificate holds")
    if sasl:
        # always said: librdkafka's own default is GSSAPI, which its wheels do not contain
        mechanism = mechanism_of(connection)
        if mechanism == "GSSAPI":
            raise UsageProblem("Kerberos (GSSAPI) is not in the Kafka client that pip installs.", hint="use SCRAM-SHA-256, SCRAM-SHA-512, PLAIN or OAUTHBEARER")
        settings["sasl.mechanism"] = mechanism
        if connection.user is not None:
            settings["sasl.username"] = connection.user
        if password is not None:
            settings["sasl.password"] = password.reveal()
        for what, value in (("user", connection.user), ("password", password and password.reveal())):
            # rdkafka_conf.c trims strings on the left, and the login would be refused without a word about that
            if value and value[0] in " \t\n\v\f\r":
                raise UsageProblem(f"The {what} begins with white space, which Kafka's client cuts off.", hint=f"give the login a {what} that begins otherwise")
        if connection.token is not None:
            token = connection.token
            # asked again shortly before what we call its end; a token that has ended by then is refused by the broker
            settings["oauth_cb"] = lambda _: (token.reveal(), time() + _TOKEN_SECONDS)
    return settings


def mechanism_of(connection: Connection) -> str:
    """Return the SASL mechanism that a login uses."""
    return (connection.mechanism or ("OAUTHBEARER" if connection.token is not None and connection.password is None else "PLAIN")).upper()


class Troubles:
    """The errors a handle reports beside its work. The first specific one explains a connection that fails."""

    def __init__(self) -> None:
        self.specific: KafkaError | None = None
        self.fatal: KafkaError | None = None
        self.down_since: float | None = None
        self.was_throttled = ""
        """Who has ever let us wait because of a quota; empty: nobody."""
        self._throttled_until = 0.0

    def throttle(self, broker: int, seconds: float) -> None:
        """Take in that a broker lets us wait, because of a quota; moments are nothing to tell."""
        if seconds >= _MOMENT_SECONDS:
            # one that was given and is not known by its number yet has a negative one
            self.was_throttled = f"{'the broker' if broker < 0 else f'broker {broker}'} makes this client wait, because it is over its quota"
            self._throttled_until = monotonic() + seconds + _MOMENT_SECONDS

    @property
    def throttled(self) -> str:
        """Who lets us wait now because of a quota; empty: nobody."""
        return self.was_throttled if monotonic() < self._throttled_until else ""

    def note(self, error: KafkaError) -> None:
        """Take an error in; the handle calls this from its poll."""
        if error.fatal():
            self.fatal = error
        if self.down_since is None:
            self.down_since = monotonic()
        # librdkafka calls a refused certificate _SSL the first time and _TRANSPORT from then on, so the first one stays
        if self.specific is None and error.code() != KafkaError._ALL_BROKERS_DOWN:
            self.specific = error

    def clear(self) -> None:
        """Forget them: the connection works."""
        self.specific = None
        self.down_since = None


def open_handle(handle: Callable[..., Any], connection: Connection, settings: dict[str, Any], troubles: Troubles, topic: str = _NO_TOPIC) -> Any:
    """Return a handle that has reached the broker, or raise what is wrong within `connection.connect_timeout` seconds.

    `settings` come before what the connection says; a handle that reaches the broker costs one round trip.
    """
    opened = create(handle, settings, connection)
    # the client would load it for its first answer; meanwhile it connects
    import confluent_kafka.admin  # noqa: F401

    deadline = monotonic() + connection.connect_timeout
    # the last part is for finding out why
    give_up = deadline - connection.connect_timeout * 0.3
    wait = 0.03
    while True:
        try:
            # not cluster_id(): librdkafka 2.16 misses its wake-up one time in four, and then waits for a second
            opened.list_topics(topic, timeout=max(0.001, min(wait, give_up - monotonic())))
            troubles.clear()
            return opened
        except KafkaException as problem:
            opened.poll(0)
            # with several hosts the others are still being tried
            if monotonic() >= give_up or (troubles.specific is not None and len(connection.hosts) == 1):
                break
            if problem.args[0].code() not in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT):
                troubles.note(problem.args[0])
        wait = min(wait * 2, 1.0)
    let_go(opened)
    if troubles.was_throttled:
        raise Unreachable(f"{connection}: {troubles.was_throttled}.", hint="ask for a higher quota, or wait for longer: --connect-timeout 60s")
    raise explain(troubles.specific, connection, max(0.2, deadline - monotonic()))


def let_go(handle: Any) -> None:
    """Close a handle without waiting for its broker."""
    if isinstance(handle, Consumer):
        handle.close()


def create(handle: Callable[..., Any], configuration: dict[str, Any], connection: Connection) -> Any:
    """Make a handle for the connection; raises UsageProblem for settings that the client refuses."""
    try:
        return handle(configuration, logger=SILENT)
    except KafkaException as problem:
        text = problem.args[0].str()
        if connection.tls is not None and re.search(r"ssl\.(ca|certificate|key)\.location failed", text):
            from brokercli.backends.tls import tls_context

            tls_context(connection.tls)
        raise UsageProblem(f"Kafka's client refuses the settings of the connection: {text}.", hint="brokercli context show") from None


def explain(error: KafkaError | None, connection: Connection, seconds: float) -> BrokercliError:
    """Say in one sentence why connecting failed, asking the first host for up to `seconds` where the client did not find out."""
    host, port = connection.hosts[0]
    port = port or DEFAULT_PORT
    code, text = (error.code(), error.str()) if error is not None else (None, "")
    if elsewhere := sent_elsewhere(error, connection):
        return elsewhere
    if code == KafkaError._RESOLVE:
        return Unreachable(f"{connection}: there is no host {_host_of(text) or host}.", hint="check the spelling, and that this machine can resolve it")
    if "Connection refused" in text:
        return Unreachable(f"{connection}: nothing listens there (connection refused).", hint="is the broker running, and is this its port?")
    if code in (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED):
        return _login_failed(text, connection)
    from brokercli.backends.kafka.diagnose import probe  # ssl and socket take 5 ms, and connections succeed

    found = probe(host, port, connection.tls, seconds)
    if found is not None:
        # a login that it wants and was given is not the trouble
        if found.login and not (connection.user or connection.password or connection.token):
            return NotAuthorised(f"{connection}: {found}.", hint=found.hint)
        if not found.login or "certificate" in str(found):
            return (NotAuthorised if found.login else Unreachable)(f"{connection}: {found}.", hint=found.hint)
    if code == KafkaError._SSL:
        return NotAuthorised(f"{connection}: TLS failed: {_gist(text)}.", hint="give the CA that signed its certificate: tls.ca in the context")
    if not text or "timed out" in text.lower():
        return Unreachable(f"{connection}: no answer within {connection.connect_timeout:g} s.",
                           hint="a firewall, a hung broker or a port that is not Kafka's looks like this")
    return Unreachable(f"{connection}: the connection fails: {_gist(text)}.", hint="is this Kafka's port? brokercli doctor tries each step")


def sent_elsewhere(error: KafkaError | None, connection: Connection) -> Unreachable | None:
    """Return what to fail with where a broker told us to come to another address, and that one cannot be reached; None for any other error."""
    if error is None or error.code() not in (KafkaError._RESOLVE, KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._BAD_MSG):
        return None
    told = _told_to_go(error.str(), connection)
    return Unreachable(f"{connection}: {told}", hint=ADVERTISED) if told else None


def _told_to_go(text: str, connection: Connection) -> str | None:
    """Say which broker sent us to an address of its own that fails; None where it was one of those we were given."""
    # librdkafka calls a broker that it knows from metadata HOST:PORT/NUMBER, one that it was given HOST:PORT/bootstrap, and one that it was sent to for
    # a group, at first, GroupCoordinator: HOST:PORT
    named = re.match(r"(?:\w+Coordinator: )?(?:\w+://)?(\S+):(\d+)(?:/(\d+))?: (.*)", text, re.DOTALL)
    if named is None or (named[1].strip("[]"), int(named[2])) in [(host, port or DEFAULT_PORT) for host, port in connection.hosts]:
        return None
    reason = "no such host" if "resolve" in named[4] else "connection refused" if "refused" in named[4] else _gist(named[4])
    which = f"its broker {named[3]}" if named[3] else "its broker"
    return f"{which} tells clients to come to {named[1]}:{named[2]}, and from here that fails: {reason}."


def _login_failed(text: str, connection: Connection) -> BrokercliError:
    mechanism = mechanism_of(connection)
    offered = re.search(r"supported mechanisms: ?([A-Z0-9_,. -]*)", text)
    if offered is None:
        return NotAuthorised(f"{connection}: the login as {connection.user or 'a bearer of a token'} ({mechanism}) was refused.",
                             hint="check user, password and mechanism; brokercli context show says where they come from")
    names = offered[1].strip()
    if not names:
        return NotAuthorised(f"{connection}: the broker knows no login on this port, and got one.", hint="leave user and password out, or use its other port")
    return NotAuthorised(f"{connection}: the broker does not offer {mechanism}; it offers {names}.", hint=f"set mechanism to {names.split(',')[0]}")


def _host_of(text: str) -> str | None:
    found = re.search(r"Failed to resolve '(.+):\d+'", text)
    return found[1] if found else None


def _gist(text: str) -> str:
    """Leave out librdkafka's own names for connections and states."""
    text = re.sub(r"^\S+/(?:bootstrap|\d+): ", "", text)
    return re.sub(r" \(after \d+ms in state \w+\)", "", text).rstrip(".")
