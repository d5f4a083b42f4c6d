"""Which of a client's own settings a context may pass on: a list of what is allowed, per broker.

librdkafka loads shared libraries (`plugin.library.paths`, `ssl.engine.location`), runs shell commands
(`sasl.kerberos.kinit.cmd`) and follows URLs it is given (`sasl.oauthbearer.…`, `ssl.…` files), all as soon as a client is
configured; and what brokercli promises rests on `acks`, idempotence and offset settings that it chooses itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

KAFKA = frozenset({
    "client.id", "client.rack", "broker.address.family", "broker.address.ttl", "message.max.bytes", "receive.message.max.bytes",
    "max.in.flight.requests.per.connection", "topic.metadata.refresh.interval.ms", "metadata.max.age.ms", "metadata.recovery.strategy",
    "socket.timeout.ms", "socket.send.buffer.bytes", "socket.receive.buffer.bytes", "socket.keepalive.enable", "socket.nagle.disable",
    "socket.connection.setup.timeout.ms", "connections.max.idle.ms", "reconnect.backoff.ms", "reconnect.backoff.max.ms", "client.dns.lookup",
    "retry.backoff.ms", "retry.backoff.max.ms", "request.timeout.ms", "api.version.request.timeout.ms",
    "linger.ms", "batch.size", "batch.num.messages", "queue.buffering.max.messages", "queue.buffering.max.kbytes", "queue.buffering.max.ms",
    "compression.type", "compression.codec", "compression.level", "sticky.partitioning.linger.ms", "transaction.timeout.ms",
    "fetch.wait.max.ms", "fetch.min.bytes", "fetch.max.bytes", "fetch.message.max.bytes", "max.partition.fetch.bytes", "fetch.queue.backoff.ms",
    "fetch.error.backoff.ms", "queued.min.messages", "queued.max.messages.kbytes", "isolation.level", "check.crcs",
    "session.timeout.ms", "heartbeat.interval.ms", "max.poll.interval.ms",
    "ssl.cipher.suites", "ssl.curves.list", "ssl.sigalgs.list", "sasl.kerberos.service.name", "sasl.kerberos.principal",
})
NATS = frozenset({"inbox_prefix", "domain", "js_api_prefix", "give_up_after"})
RABBITMQ = frozenset({"heartbeat", "frame_max", "locale", "give_up_after"})
_NUMBERS = ("heartbeat", "frame_max", "give_up_after")
_BY_SCHEME = {"kafka": KAFKA, "kafkas": KAFKA, "nats": NATS, "tls": NATS, "amqp": RABBITMQ, "amqps": RABBITMQ}
_OWN = {"acks", "request.required.acks", "enable.idempotence", "transactional.id", "delivery.timeout.ms", "message.timeout.ms", "enable.auto.commit",
        "enable.auto.offset.store", "auto.offset.reset", "group.id", "allow.auto.create.topics", "partitioner", "dr_cb", "on_delivery"}
_CONTEXT_KEYS = {
    "bootstrap.servers": "url", "metadata.broker.list": "url", "security.protocol": "url (kafkas:// means TLS)", "sasl.username": "user",
    "sasl.password": "password", "sasl.mechanism": "mechanism", "sasl.mechanisms": "mechanism", "ssl.ca.location": "tls.ca",
    "ssl.certificate.location": "tls.certificate", "ssl.key.location": "tls.key", "ssl.key.password": "tls.key_password",
    "enable.ssl.certificate.verification": "tls.insecure", "ssl.endpoint.identification.algorithm": "tls.insecure",
    "user": "user", "password": "password", "token": "token", "virtual_host": "vhost",
}


def check_options(scheme: str, options: Mapping[str, str]) -> tuple[str, str, str | None] | None:
    """Return the first option that is not allowed, why, and what to write instead; None when all are.

    A plugin's broker takes every option: what its client does with them is for the plugin to bound.
    """
    allowed = _BY_SCHEME.get(scheme)
    if allowed is None:
        return None
    for name, value in options.items():
        if name in allowed:
            if name in _NUMBERS and not re.fullmatch(r"\d+", value, re.ASCII):
                return name, "is not a whole number", None
            continue
        if name in _CONTEXT_KEYS:
            return name, "has a key of its own in the context", f"use {_CONTEXT_KEYS[name]}"
        if name in _OWN:
            return name, "is chosen by brokercli, because what it promises depends on it", None
        from difflib import get_close_matches

        close = get_close_matches(name, sorted(allowed), n=1)
        return name, f"is not on the list of client settings that {scheme}:// contexts may pass on", f"did you mean {close[0]}?" if close else None
    return None
