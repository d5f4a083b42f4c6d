"""Connecting to Kafka, and telling the ways it can fail apart."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException

from brokercli.model.connection import Connection
from brokercli.model.errors import BrokercliError, NotAuthorised, Unreachable, UsageProblem

DEFAULT_PORT = 9092
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
        "bootstrap.servers": ",".join(_host_and_port(host, port) for host, port in connection.hosts),
        "client.id": "brokercli",
        "log_level": 0,
        "socket.connection.setup.timeout.ms": timeout,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        "enable.metrics.push": False,
    }
    configuration.update(_security(connection))
    for name, value in connection.options.items():
        if name in FORBIDDEN_OPTIONS or name.endswith("_cb"):
            raise UsageProblem(f"The Kafka option {name} is not allowed: it loads libraries, runs commands or replaces the broker.")
        if name in OUR_OPTIONS:
            raise UsageProblem(f"The Kafka option {name} is not yours to set: brokercli's promises rest on it.")
        configuration[name] = value
    return configuration


def _host_and_port(host: str, port: int | None) -> str:
    return f"[{host}]:{port or DEFAULT_PORT}" if ":" in host and not host.startswith("[") else f"{host}:{port or DEFAULT_PORT}"


def _security(connection: Connection) -> dict[str, Any]:
    tls, password = connection.tls, connection.password
    sasl = connection.mechanism is not None or password is not None or connection.user is not None or connection.token is not None
    settings: dict[str, Any] = {"security.protocol": ("sasl_" if sasl else "") + ("plaintext" if tls is None else "ssl")}
    if tls is not None:
        settings["ssl.endpoint.identification.algorithm"] = "none" if tls.insecure else "https"
        settings["enable.ssl.certificate.verification"] = not tls.insecure
        for name, path in (("ssl.ca.location", tls.ca), ("ssl.certificate.location", tls.certificate), ("ssl.key.location", tls.key)):
            if path is not None:
                settings[name] = path
        if tls.key_password is not None:
            settings["ssl.key.password"] = tls.key_password.reveal()
        if tls.server_name is not None:
            raise UsageProblem("Kafka's client checks the certificate against the name it connects to; server_name cannot replace it.",
                               hint="connect by the name that the certificate holds")
    if sasl:
        # always said: librdkafka's own default is GSSAPI, which its wheels do not contain
        mechanism = (connection.mechanism or "PLAIN").upper()
        if mechanism == "GSSAPI":
            raise UsageProblem("Kerberos (GSSAPI) is not in the Kafka client that pip installs.", hint="use SCRAM-SHA-256, SCRAM-SHA-512, PLAIN or OAUTHBEARER")
        settings["sasl.mechanism"] = mechanism
        if connection.user is not None:
            settings["sasl.username"] = connection.user
        if password is not None:
            settings["sasl.password"] = password.reveal()
    return settings


class Troubles:
    """The errors a handle reports beside its work. The first specific one explains a connection that fails."""

    def __init__(self) -> None:
        self.specific: KafkaError | None = None
        self.down_since: float | None = None

    def note(self, error: KafkaError) -> None:
        """Take an error in; the handle calls this from its poll."""
        if self.down_since is None:
            self.down_since = monotonic()
        if error.code() != KafkaError._ALL_BROKERS_DOWN and (self.specific is None or self.specific.code() == KafkaError._TRANSPORT):
            self.specific = error

    def clear(self) -> None:
        """Forget them: the connection works."""
        self.specific = None
        self.down_since = None


def open_consumer(connection: Connection, preferred: dict[str, Any], promised: dict[str, Any], troubles: Troubles) -> Consumer:
    """Return a consumer that has reached the broker, or raise what is wrong within `connection.connect_timeout` seconds."""
    configuration = {**preferred, **client_configuration(connection), **promised, "error_cb": troubles.note}
    consumer = create(Consumer, configuration)
    deadline = monotonic() + connection.connect_timeout
    wait = 0.02
    while True:
        remaining = deadline - monotonic()
        try:
            # answered from the first metadata a handle asks for anyway, so this is no round trip of its own
            consumer.cluster_id(max(0.001, min(wait, remaining)))
            troubles.clear()
            return consumer
        except KafkaException:
            consumer.poll(0)
        if (final := _is_final(troubles, connection)) or remaining <= 0:
            problem = explain(troubles.specific, connection) if final or troubles.specific else _mute(connection)
            consumer.close()
            raise problem
        wait = min(wait * 2, 0.5)


def create(handle: Callable[..., Any], configuration: dict[str, Any]) -> Any:
    """Make a handle; raises UsageProblem for settings that the client refuses, without quoting their values."""
    try:
        return handle(configuration, logger=SILENT)
    except KafkaException as problem:
        error = problem.args[0]
        raise UsageProblem(f"Kafka's client refuses the settings: {error.str()}.", hint="brokercli context show shows the options in use") from None


def _is_final(troubles: Troubles, connection: Connection) -> bool:
    # with several bootstrap addresses the others are still being tried
    return troubles.specific is not None and len(connection.hosts) == 1


def _mute(connection: Connection) -> BrokercliError:
    return Unreachable(f"{connection} accepted the connection and said nothing for {connection.connect_timeout:g} s.",
                       hint="is this a Kafka listener? A firewall, a proxy or a hung broker also looks like this")


def explain(error: KafkaError | None, connection: Connection) -> BrokercliError:
    """Say in one sentence why connecting failed."""
    text = error.str() if error is not None else ""
    return Unreachable(f"{connection} cannot be reached: {text}.")


__all__ = ["Troubles", "client_configuration", "create", "explain", "open_consumer", "NotAuthorised"]
